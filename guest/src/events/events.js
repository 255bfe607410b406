(function (native, shared) {
  const { toJson } = shared;

  globalThis.events = {
    async publish(name, data = null) {
      if (typeof name !== "string") throw new TypeError(`the event's name must be a string, not ${name === null ? "null" : typeof name}`);
      return native.publish(name, toJson(data, "the event's data", "data"));
    },
  };
});
