(function (native) {
  globalThis.secrets = {
    async get(name) {
      if (typeof name !== "string") throw new TypeError(`the secret's name must be a string, not ${name === null ? "null" : typeof name}`);
      return native.get(name);
    },
  };
});
