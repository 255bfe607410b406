(function (native, shared) {
  const { begun, toJson } = shared;
  const { isArray } = Array;
  const { keys } = Object;
  const { isNaN } = Number;

  function text(value, what) {
    if (typeof value !== "string") throw new TypeError(`${what} must be a string, not ${value === null ? "null" : typeof value}`);
    return value;
  }

  // Dates become ISO text; objects and arrays become JSON, marked as [text].
  // `kind` and `name` say what it is where it is refused, as in «parameter 1».
  function scalar(value, kind, name) {
    if (typeof value !== "object" || value === null) {
      if (typeof value === "function" || typeof value === "symbol") throw new TypeError(`${kind} ${name} can't be a ${typeof value}`);
      return value;
    }
    if (value instanceof Date) {
      if (isNaN(value.getTime())) throw new TypeError(`${kind} ${name} is an invalid Date`);
      return value.toISOString();
    }
    if (value instanceof Uint8Array || value instanceof ArrayBuffer) return value;
    return [toJson(value, `${kind} ${name}`, "value")];
  }

  function parameters(values) {
    if (values === undefined) return [];
    if (!isArray(values)) throw new TypeError("the parameters must be an array, one value for each of $1, $2, …");
    return values.map((value, index) => scalar(value, "parameter", index + 1));
  }

  function object(value, what) {
    if (typeof value !== "object" || value === null || isArray(value)) throw new TypeError(`${what} must be an object of columns and values`);
    return value;
  }

  // As src/db/mod.rs numbers them.
  const OPERATORS = {
    __proto__: null, eq: 0, ne: 1, lt: 2, lte: 3, gt: 4, gte: 5, in: 6, notIn: 7, like: 8, contains: 9, startsWith: 10,
  };
  const CONDITION = "the condition on";

  // {status: "open"} | {total: {gte: 10, lt: 20}} | {id: [1, 2]} | {deleted: null}
  // as column, operator, how many values, the values, and so on, all in one list:
  // lists within lists cost more than the rest of a look-up.
  function filters(where) {
    const list = [];
    if (where === undefined || where === null) return list;
    for (const column of keys(object(where, "the condition"))) {
      const value = where[column];
      if (value === undefined) throw new TypeError(`${CONDITION} ${column} is undefined; use null to look for missing values`);
      if (isArray(value)) several(list, column, OPERATORS.in, value);
      else if (isCondition(value)) {
        for (const name of keys(value)) {
          const operator = OPERATORS[name];
          const operand = value[name];
          if (operator === undefined) {
            throw new TypeError(`\`${name}\` is not an operator; use eq, ne, lt, lte, gt, gte, in, notIn, like, contains or startsWith`);
          }
          if (operator !== OPERATORS.in && operator !== OPERATORS.notIn) {
            list.push(column, operator, 1, scalar(operand, CONDITION, column));
          } else if (isArray(operand)) several(list, column, operator, operand);
          else throw new TypeError(`${CONDITION} ${column}: ${name} takes an array`);
        }
      } else list.push(column, OPERATORS.eq, 1, scalar(value, CONDITION, column));
    }
    return list;
  }

  function several(list, column, operator, values) {
    const { length } = values;
    list.push(column, operator, length);
    for (let index = 0; index < length; index++) list.push(scalar(values[index], CONDITION, column));
  }

  function isCondition(value) {
    if (typeof value !== "object" || value === null) return false;
    const prototype = Object.getPrototypeOf(value);
    return prototype === Object.prototype || prototype === null;
  }

  // As column, value, and so on.
  function row(values) {
    const list = [];
    for (const column of keys(object(values, "the row"))) {
      const value = values[column];
      if (value !== undefined) list.push(column, scalar(value, "the value of", column));
    }
    return list;
  }

  // "name" | "-name" | "name desc" | {name: "desc"} | an array of these, as
  // column, whether it descends, and so on.
  function order(value) {
    if (value === undefined || value === null) return [];
    if (isArray(value)) return value.flatMap(order);
    if (typeof value === "object") {
      return keys(value).flatMap((column) => [column, /^desc$/i.test(value[column]) || value[column] === -1]);
    }
    const [, minus, column, direction] = /^(-?)(.*?)(?:\s+(asc|desc))?$/i.exec(text(value, "orderBy"));
    return [column, minus === "-" || /^desc$/i.test(direction ?? "")];
  }

  function count(value, what) {
    if (value === undefined || value === null) return undefined;
    if (!Number.isInteger(value) || value < 0) throw new TypeError(`${what} must be a whole number from 0`);
    return value;
  }

  const NONE = { columns: [], order: [], range: [] };

  function options(given) {
    if (given === undefined) return NONE;
    const { columns = [], orderBy, order: alias, limit, offset, ...unknown } = given;
    const [name] = keys(unknown);
    if (name !== undefined) throw new TypeError(`there is no option ${name}; there are columns, orderBy, limit and offset`);
    return {
      columns: columns.map((column) => text(column, "a column")),
      order: order(orderBy ?? alias),
      range: [count(limit, "limit"), count(offset, "offset")],
    };
  }

  function api(transaction) {
    const statement = (shape) =>
      begun((sql, values) => native.statement(transaction, text(sql, "the SQL"), parameters(values), shape));
    const table = (name) => text(name, "the table");
    return {
      query: statement("rows"),
      queryOne: statement("row"),
      execute: statement("outcome"),
      findOne: begun((name, where, more) => {
        const { columns, order, range } = options(more);
        return native.findOne(transaction, table(name), filters(where), columns, order, range);
      }),
      findMany: begun((name, where, more) => {
        const { columns, order, range } = options(more);
        return native.findMany(transaction, table(name), filters(where), columns, order, range);
      }),
      insert: begun((name, values) => native.insert(transaction, table(name), row(values))),
      update: begun((name, where, values) => native.update(transaction, table(name), filters(where), row(values))),
      delete: begun((name, where) => native.delete(transaction, table(name), filters(where))),
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
