(function (native, shared) {
  const { startTimer, clearTimer } = native;

  function timer(name, repeat) {
    return function (callback, delay, ...rest) {
      if (typeof callback !== "function") throw new TypeError(`${name} takes a function, not ${typeof callback}`);
      return startTimer(rest.length ? () => callback(...rest) : () => callback(), Number(delay) || 0, repeat);
    };
  }

  globalThis.setTimeout = timer("setTimeout", false);
  globalThis.setInterval = timer("setInterval", true);
  globalThis.clearTimeout = (id) => clearTimer(id);
  globalThis.clearInterval = (id) => clearTimer(id);
});
