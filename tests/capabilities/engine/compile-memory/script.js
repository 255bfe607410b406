const list = [];
for (;;) list.push("x".repeat(1000) + list.length);

function main() {}
