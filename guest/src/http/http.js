(function (native, shared) {
  const { toJson } = shared;

  const isBytes = (value) => value instanceof Uint8Array || value instanceof ArrayBuffer;

  function headerPairs(headers) {
    const pairs = [];
    for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers ?? {})) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null) pairs.push([String(name), String(one)]);
      }
    }
    return pairs;
  }

  function withQuery(url, query) {
    if (query === undefined || query === null) return url;
    const parts = [];
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null) parts.push(`${encodeURIComponent(name)}=${encodeURIComponent(one instanceof Date ? one.toISOString() : String(one))}`);
      }
    }
    if (!parts.length) return url;
    const [address, fragment] = url.split("#", 2);
    return address + (address.includes("?") ? "&" : "?") + parts.join("&") + (fragment === undefined ? "" : `#${fragment}`);
  }

  class Response {
    #text;
    #bytes;
    constructor({ status, url, headers, text, bytes }) {
      this.status = status;
      this.ok = status >= 200 && status < 300;
      this.url = url;
      this.headers = {};
      for (const [name, value] of headers) {
        this.headers[name] = name in this.headers ? `${this.headers[name]}, ${value}` : value;
      }
      this.#text = text;
      this.#bytes = bytes;
      const type = this.headers["content-type"] ?? "";
      this.body = text;
      // Parsed where the other side says that it is JSON.
      this.data = undefined;
      if (/[/+]json\b/i.test(type)) {
        try {
          this.data = JSON.parse(text);
        } catch {}
      }
    }
    json() {
      try {
        return JSON.parse(this.#text);
      } catch (error) {
        throw new SyntaxError(`the answer of ${this.url} is not JSON: ${error.message}`);
      }
    }
    text() {
      return this.#text;
    }
    bytes() {
      return this.#bytes;
    }
  }

  async function request(options) {
    if (typeof options !== "object" || options === null) throw new TypeError("http.request takes an object with a url");
    const { method = "GET", url, query, headers, body, timeout } = options;
    if (typeof url !== "string" && !(typeof url === "object" && url !== null && "href" in url)) {
      throw new TypeError(`the url must be a string, not ${url === null ? "null" : typeof url}`);
    }
    if (timeout !== undefined && !(typeof timeout === "number" && timeout > 0)) {
      throw new TypeError("the timeout must be a number of milliseconds above 0");
    }
    const pairs = headerPairs(headers);
    let payload = body ?? undefined;
    if (payload !== undefined && typeof payload !== "string" && !isBytes(payload)) {
      payload = toJson(payload, "the body", "body");
      if (!pairs.some(([name]) => name.toLowerCase() === "content-type")) pairs.push(["content-type", "application/json"]);
    }
    // Not awaited here: a failure takes its stack where it is, and that is the script's line.
    return native
      .request(String(method).toUpperCase(), withQuery(String(url), query), pairs, payload, timeout)
      .then((answer) => new Response(answer));
  }

  const bare = (method) => (url, options = {}) => request({ ...options, method, url });
  const carrying = (method) => (url, body, options = {}) => request({ ...options, method, url, body });

  globalThis.http = {
    request,
    get: bare("GET"),
    head: bare("HEAD"),
    delete: bare("DELETE"),
    post: carrying("POST"),
    put: carrying("PUT"),
    patch: carrying("PATCH"),
  };
});
