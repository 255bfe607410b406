// QuickJS makes a built-in function when it is first asked for. Those that the
// script's text names are asked for before the snapshot, so that no call has to
// make them anew, and so that they lie together: fewer pages of memory change.
(function (source) {
  const named = new Set();
  // By parts, for all names at once would need memory that a call then has too.
  for (let at = 0; at < source.length; at += 4096) {
    for (const name of source.slice(at, at + 4096).match(/[A-Za-z]\w*/g) ?? []) named.add(name);
  }
  const iterators = [[], "", new Map(), new Set()].map((value) => value[Symbol.iterator]());
  const known = [Object, Function, Array, String, Number, Boolean, RegExp, Date, Map, Set, Promise, Error];
  const others = ["JSON", "Math", "BigInt", "Symbol", "URL", "Uint8Array"].filter((name) => named.has(name)).map((name) => globalThis[name]);
  const all = [...known, ...known.map((one) => one.prototype), ...others, ...iterators.map(Object.getPrototypeOf)];
  for (const one of all) {
    for (const key of Reflect.ownKeys(one ?? {})) {
      if (typeof key === "symbol" || key === "next" || named.has(key)) Object.getOwnPropertyDescriptor(one, key);
    }
  }
});
