for (;;) {}

function main() {}
