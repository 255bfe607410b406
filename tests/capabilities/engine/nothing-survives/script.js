// Each call starts where the top level ended.
let counter = 0;
const seen = [];
globalThis.shared = { calls: 0 };

export default function main() {
    counter++;
    seen.push(counter);
    globalThis.shared.calls++;
    globalThis.leaked = (globalThis.leaked ?? 0) + 1;
    Array.prototype.poisoned = (Array.prototype.poisoned ?? 0) + 1;
    Object.prototype.everywhere = (Object.prototype.everywhere ?? 0) + 1;
    const before = [JSON.stringify([1]), utils.crypto.hash("x").length, Math.max(1, 2), typeof console.info];
    JSON.stringify = () => "[\"forged\"]";
    JSON.parse = () => "forged";
    Math.max = () => "poisoned";
    utils.crypto.hash = () => "poisoned";
    console.info = undefined;
    Promise.prototype.then = undefined;
    setTimeout(() => globalThis.shared.calls++, 0);
    main.calls = (main.calls ?? 0) + 1;
    return { counter, seen, shared: globalThis.shared.calls, leaked: globalThis.leaked, array: [].poisoned, object: {}.everywhere, before, own: main.calls };
}
