(function (native, shared) {
  const { begun, toJson } = shared;

  function key(value, what = "the key") {
    if (typeof value !== "string") throw new TypeError(`${what} must be a string, not ${value === null ? "null" : typeof value}`);
    return value;
  }

  // In seconds. The host checks the range.
  function ttl(value) {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "number" || !(value > 0)) throw new TypeError("the time to live must be a number of seconds above 0");
    return value;
  }

  function number(value, what) {
    if (typeof value !== "number" || !Number.isFinite(value)) throw new TypeError(`${what} must be a number, not ${String(value)}`);
    return value;
  }

  const json = (value, what = "the stored value") => toJson(value, what, "value");

  function whole(value) {
    if (value === undefined || value === null) return undefined;
    if (!Number.isInteger(value) || value < 1) throw new TypeError("limit must be a whole number above 0");
    return Math.min(value, 0xffffffff);
  }

  globalThis.storage = {
    get: begun((name) => native.get(key(name))),
    set: begun((name, value, seconds) => native.set(key(name), json(value), ttl(seconds))),
    delete: begun((name) => native.delete(key(name))),
    has: begun((name) => native.has(key(name))),
    list: begun((prefix = "", { after, limit } = {}) => native.list(key(prefix, "the prefix"), after ?? undefined, whole(limit))),
    increment: begun((name, by = 1, seconds) => native.increment(key(name), number(by, "the amount"), ttl(seconds))),
    // `expected` undefined or null means: only while there is no value.
    compareAndSet: begun((name, expected, value, seconds) =>
      native.compareAndSet(key(name), expected === undefined || expected === null ? undefined : json(expected, "the expected value"), json(value), ttl(seconds)),
    ),
  };
});
