(function (native, shared) {
  function amount(value, what) {
    if (typeof value !== "number" || !Number.isFinite(value) || value < 0) {
      throw new TypeError(`${what} must be a number from 0 on, not ${typeof value === "number" ? value : value === null ? "null" : typeof value}`);
    }
    return value;
  }

  globalThis.execution = {
    progress(done, total, message) {
      const words = message === undefined || message === null ? "" : String(message);
      const all = total === undefined || total === null ? undefined : amount(total, "the total");
      native.report(amount(done, "what is done"), all, words);
    },
  };
});
