(function (native, shared) {
  const { get } = native;
  let context;

  function freeze(value) {
    if (value !== null && typeof value === "object") {
      Object.values(value).forEach(freeze);
      Object.freeze(value);
    }
    return value;
  }

  Object.defineProperty(globalThis, "context", {
    get: () => (context ??= freeze(get())),
    // A script may have a variable of that name.
    set: (value) => Object.defineProperty(globalThis, "context", { value, writable: true, configurable: true }),
    enumerable: true,
    configurable: true,
  });
});
