(function (native, shared) {
  const { toJson } = shared;
  const { isArray } = Array;

  function text(value, what) {
    if (typeof value !== "string") throw new TypeError(`${what} must be a string, not ${value === null ? "null" : typeof value}`);
    return value;
  }

  // Dates become ISO text; objects and arrays become JSON, marked as [text].
  function scalar(value, what) {
    if (typeof value !== "object" || value === null) {
      if (typeof value === "function" || typeof value === "symbol") throw new TypeError(`${what} can't be a ${typeof value}`);
      return value;
    }
    if (value instanceof Date) {
      if (Number.isNaN(value.getTime())) throw new TypeError(`${what} is an invalid Date`);
      return value.toISOString();
    }
    if (value instanceof Uint8Array || value instanceof ArrayBuffer) return value;
    return [toJson(value, what, "value")];
  }

  function parameters(values) {
    if (values === undefined) return [];
    if (!isArray(values)) throw new TypeError("the parameters must be an array, one value for each of $1, $2, …");
    return values.map((value, index) => scalar(value, `parameter ${index + 1}`));
  }

  function object(value, what) {
    if (typeof value !== "object" || value === null || isArray(value)) throw new TypeError(`${what} must be an object of columns and values`);
    return value;
  }

  // {status: "open"} | {total: {gte: 10, lt: 20}} | {id: [1, 2]} | {deleted: null}
  function filters(where) {
    const list = [];
    if (where === undefined || where === null) return list;
    for (const [column, value] of Object.entries(object(where, "the condition"))) {
      const what = `the condition on ${column}`;
      if (value === undefined) throw new TypeError(`${what} is undefined; use null to look for missing values`);
      if (isArray(value)) list.push([column, "in", value.map((one) => scalar(one, what))]);
      else if (isCondition(value)) {
        for (const [operator, operand] of Object.entries(value)) {
          const values = operator === "in" || operator === "notIn" ? operand : [operand];
          if (!isArray(values)) throw new TypeError(`${what}: ${operator} takes an array`);
          list.push([column, operator, values.map((one) => scalar(one, what))]);
        }
      } else list.push([column, "eq", [scalar(value, what)]]);
    }
    return list;
  }

  function isCondition(value) {
    if (typeof value !== "object" || value === null) return false;
    const prototype = Object.getPrototypeOf(value);
    return prototype === Object.prototype || prototype === null;
  }

  function row(values) {
    return Object.entries(object(values, "the row"))
      .filter(([, value]) => value !== undefined)
      .map(([column, value]) => [column, scalar(value, `the value of ${column}`)]);
  }

  // "name" | "-name" | "name desc" | {name: "desc"} | an array of these
  function order(value) {
    if (value === undefined || value === null) return [];
    if (isArray(value)) return value.flatMap(order);
    if (typeof value === "object") {
      return Object.entries(value).map(([column, direction]) => [column, /^desc$/i.test(direction) || direction === -1]);
    }
    const [, minus, column, direction] = /^(-?)(.*?)(?:\s+(asc|desc))?$/i.exec(text(value, "orderBy"));
    return [[column, minus === "-" || /^desc$/i.test(direction ?? "")]];
  }

  function count(value, what) {
    if (value === undefined || value === null) return undefined;
    if (!Number.isInteger(value) || value < 0) throw new TypeError(`${what} must be a whole number from 0`);
    return value;
  }

  function options(where, { columns = [], orderBy, order: alias, limit, offset, ...unknown } = {}) {
    const [name] = Object.keys(unknown);
    if (name !== undefined) throw new TypeError(`there is no option ${name}; there are columns, orderBy, limit and offset`);
    return {
      filters: filters(where),
      columns: columns.map((column) => text(column, "a column")),
      order: order(orderBy ?? alias),
      limit: count(limit, "limit"),
      offset: count(offset, "offset"),
    };
  }

  function api(transaction) {
    const statement = (sql, values, shape) => native.statement(transaction, text(sql, "the SQL"), parameters(values), shape);
    const table = (name) => text(name, "the table");
    return {
      query: async (sql, values) => statement(sql, values, "rows"),
      queryOne: async (sql, values) => statement(sql, values, "row"),
      execute: async (sql, values) => statement(sql, values, "outcome"),
      findOne: async (name, where, more) => native.find(transaction, table(name), options(where, { ...more, limit: 1 }), true),
      findMany: async (name, where, more) => native.find(transaction, table(name), options(where, more), false),
      insert: async (name, values) => native.insert(transaction, table(name), row(values)),
      update: async (name, where, values) => native.update(transaction, table(name), filters(where), row(values)),
      delete: async (name, where) => native.delete(transaction, table(name), filters(where)),
    };
  }

  const db = api(undefined);

  // Commits when `work` is done, rolls back when it throws.
  db.transaction = async function (work) {
    if (typeof work !== "function") throw new TypeError("db.transaction takes a function");
    // Neither beginning nor committing is awaited: an error gets its stack where
    // it is thrown first, and that must be the script's line.
    return native.begin().then(async (transaction) => {
      let result;
      try {
        result = await work(api(transaction));
      } catch (error) {
        try {
          await native.end(transaction, false);
        } catch {
          // What went wrong first is what the script must see; the host rolls back anyway.
        }
        throw error;
      }
      return native.end(transaction, true).then(() => result);
    });
  };

  globalThis.db = db;
});
