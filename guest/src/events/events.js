(function (native, shared) {
  const { toJson } = shared;
  const OPTIONS = ["delay", "key", "dedupKey", "priority"];

  const shown = (value) => (value === null ? "null" : typeof value);

  function options(given) {
    if (given === undefined || given === null) return {};
    if (typeof given !== "object") throw new TypeError(`the event's options must be an object, not ${shown(given)}`);
    for (const name of Object.keys(given)) {
      if (!OPTIONS.includes(name)) throw new TypeError(`events.publish has no option ${name} (there are: ${OPTIONS.join(", ")})`);
    }
    return given;
  }

  // The host checks the ranges.
  function option(given, name, type) {
    const value = given[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== type) throw new TypeError(`the event's ${name} must be a ${type}, not ${shown(value)}`);
    return value;
  }

  function priority(value) {
    if (value === undefined) return undefined;
    if (!Number.isInteger(value)) throw new TypeError("the event's priority must be a whole number");
    return Math.max(-0x80000000, Math.min(value, 0x7fffffff));
  }

  globalThis.events = {
    async publish(name, data = null, given) {
      if (typeof name !== "string") throw new TypeError(`the event's name must be a string, not ${shown(name)}`);
      const chosen = options(given);
      return native.publish(
        name,
        toJson(data, "the event's data", "data"),
        option(chosen, "delay", "number"),
        option(chosen, "key", "string"),
        option(chosen, "dedupKey", "string"),
        priority(option(chosen, "priority", "number")),
      );
    },
  };
});
