export default function main() {}

await new Promise(() => {});
