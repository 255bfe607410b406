(function (native, shared) {
  const { toJson } = shared;
  const { call } = native;

  // Which services and methods there are is the host's to say, when one is called.
  const members = (make) =>
    new Proxy(Object.create(null), {
      get(target, name) {
        // Neither a symbol nor a promise: `await services.clients` is itself.
        if (typeof name !== "string" || name === "then" || name === "toJSON") return undefined;
        return (target[name] ??= make(name));
      },
    });

  globalThis.services = members((service) =>
    members((method) => async (...args) => call(service, method, toJson(args, "the arguments", "arguments"))),
  );
});
