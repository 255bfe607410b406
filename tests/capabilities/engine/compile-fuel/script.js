let n = 0;
while (n < 1e9) n++;

function main() {}
