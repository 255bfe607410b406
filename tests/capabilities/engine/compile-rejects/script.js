export default function main() {}

await Promise.reject(new RangeError("no good"));
