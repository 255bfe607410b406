(function (native, shared) {
  const { write } = native;
  const { stringify } = JSON;
  const LEVELS = { debug: 0, trace: 0, info: 1, log: 1, warn: 2, error: 3 };

  // What a getter or a proxy threw in place of a value.
  function unreadable(error) {
    try {
      return `[${error.message}]`;
    } catch {
      return "[unreadable]";
    }
  }

  // The frames of the script alone.
  const own = (stack) =>
    typeof stack === "string" ? stack.split("\n").filter((frame) => !/\(airlock:|at airlock:|\(native\)/.test(frame)).join("\n") : undefined;

  // For a log line everything is worth something: no value may fail it.
  function text(value) {
    if (typeof value === "string") return value;
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    if (typeof value === "object" && value !== null) {
      const json = safeJson(value);
      if (json !== undefined) return json;
    }
    if (typeof value === "function") return `[function ${value.name || "anonymous"}]`;
    if (typeof value === "bigint") return `${value}n`;
    try {
      return String(value);
    } catch {
      return `[${typeof value}]`;
    }
  }

  function safeJson(value) {
    const parents = [];
    try {
      return stringify(value, function (key, item) {
        while (parents.length && parents[parents.length - 1] !== this) parents.pop();
        if (typeof item === "bigint") return `${item}n`;
        if (typeof item === "function") return `[function ${item.name || "anonymous"}]`;
        if (item instanceof Error) return { name: item.name, message: item.message, stack: own(item.stack) };
        if (item instanceof Map) item = Object.fromEntries(item);
        else if (item instanceof Set) item = [...item];
        if (typeof item === "object" && item !== null) {
          if (parents.includes(item)) return "[cycle]";
          parents.push(item);
        }
        return item;
      });
    } catch (error) {
      return unreadable(error);
    }
  }

  function isFields(value) {
    if (typeof value !== "object" || value === null) return false;
    const prototype = Object.getPrototypeOf(value);
    return prototype === Object.prototype || prototype === null;
  }

  function format(args) {
    if (typeof args[0] !== "string" || !args[0].includes("%")) return args;
    let next = 1;
    const message = args[0].replace(/%([sdifjoO%])/g, (whole, kind) => {
      if (kind === "%") return "%";
      if (next >= args.length) return whole;
      const value = args[next++];
      if (kind === "d" || kind === "f") return String(Number(value));
      if (kind === "i") return String(Math.trunc(Number(value)));
      if (kind === "s") return text(value);
      return safeJson(value) ?? text(value);
    });
    return [message, ...args.slice(next)];
  }

  function log(level, args) {
    const words = [];
    let fields;
    for (const value of format(args)) {
      try {
        if (isFields(value)) fields = { ...fields, ...value };
        else {
          words.push(text(value));
          if (value instanceof Error) fields = { ...fields, error: value };
        }
      } catch (error) {
        words.push(unreadable(error));
      }
    }
    const json = fields && safeJson(fields);
    if (json && json[0] !== "{" && words.length) words.push(json);
    const message = words.length || !json ? words.join(" ") : json;
    write(level, message, json && json[0] === "{" ? json : undefined);
  }

  const console = {};
  for (const name of Object.keys(LEVELS)) console[name] = (...args) => log(LEVELS[name], args);
  console.assert = (condition, ...args) => {
    if (!condition) log(LEVELS.error, ["Assertion failed", ...args]);
  };
  globalThis.console = console;
});
