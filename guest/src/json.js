(function (native, shared) {
  const { stringify } = native;
  const { defineProperty, keys, setPrototypeOf } = Object;
  const { parse } = JSON;
  const { isArray } = Array;
  const REFUSED = {
    bigint: ["a BigInt", "convert it with String() or Number()"],
    function: ["a function", "call it or leave it out"],
    symbol: ["a symbol", "leave it out"],
    cycle: ["a cycle, an object that contains itself", "leave it out"],
  };

  // Finds what stringify refused. Only errors pay for it.
  function locate(value, path, key, parents) {
    if (value !== null && (typeof value === "object" || typeof value === "bigint") && typeof value.toJSON === "function") {
      value = value.toJSON(key);
    }
    if (REFUSED[typeof value]) return [path, REFUSED[typeof value]];
    if (value === null || typeof value !== "object") return null;
    if (parents.includes(value)) return [path, REFUSED.cycle];
    parents.push(value);
    for (const name of keys(value)) {
      const step = isArray(value) ? `[${name}]` : /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) ? `.${name}` : `[${stringify(name)}]`;
      const found = locate(value[name], path + step, name, parents);
      if (found) return found;
    }
    parents.pop();
    return null;
  }

  // Throws for what stringify has thrown. `what` and `root` name the value, as in
  // «the returned value» and «result».
  shared.refuse = function (error, value, what, root) {
    if (!(error instanceof TypeError)) throw error;
    const found = locate(value, root, "", []);
    if (!found) throw error;
    const [path, [kind, advice]] = found;
    throw new TypeError(`${what} can't be expressed as JSON: ${path} is ${kind}; ${advice}`);
  };

  // What a request has beside its members, as their prototype.
  const request = {
    json() {
      if (this.bodyEncoding !== "utf-8") throw new SyntaxError("the request's body is not JSON: it is not text");
      try {
        return parse(this.rawBody);
      } catch (error) {
        throw new SyntaxError(`the request's body is not JSON: ${error.message}`);
      }
    },
    text() {
      if (this.bodyEncoding !== "utf-8") throw new TypeError("the request's body is not text: rawBody has it in base64");
      return this.rawBody;
    },
  };

  // A body of JSON, read where the script looks at it: many call json() instead.
  const set = (request, value) =>
    defineProperty(request, "body", { value, configurable: true, enumerable: true, writable: true });
  const unread = {
    configurable: true,
    enumerable: true,
    get() {
      const value = parse(this.rawBody);
      set(this, value);
      return value;
    },
    set(value) {
      set(this, value);
    },
  };

  // Completes a request as src/server/request.rs shapes one: it names what
  // `body` is where rawBody has it already.
  shared.receive = function (req) {
    setPrototypeOf(req, request);
    if (req.bodyEncoding === "json") {
      req.bodyEncoding = "utf-8";
      defineProperty(req, "body", unread);
    } else if (req.bodyEncoding === "text") {
      req.bodyEncoding = "utf-8";
      req.body = req.rawBody;
    } else if (req.bodyEncoding === "base64") {
      req.body ??= req.rawBody;
    }
    return req;
  };

  shared.toJson = function (value, what, root) {
    try {
      return stringify(value) ?? "null";
    } catch (error) {
      return shared.refuse(error, value, what, root);
    }
  };
});
