export default function main() {}

for (;;) await 0;
