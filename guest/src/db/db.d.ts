// The tenant's own tables. Errors: see HostError.

/**
 * What a statement takes. A Date becomes ISO text, an object or an array its
 * JSON text, undefined null, and a number without a fraction an integer.
 */
type SqlParameter = null | undefined | boolean | number | bigint | string | Date | Uint8Array | ArrayBuffer | object;

/**
 * What a column answers. An integer is a BigInt where a number would round it,
 * that is beyond 2^53. A boolean or a value of JSON only where the column was
 * declared so. PostgreSQL's numeric, dates and times are text, its arrays arrays.
 */
type SqlValue = null | boolean | number | bigint | string | Uint8Array | object;

/** All that is given must hold. An array stands for `in`, null for IS NULL. */
interface Where {
  [column: string]: SqlParameter | SqlParameter[] | Comparison;
}

interface Comparison {
  eq?: SqlParameter;
  ne?: SqlParameter;
  lt?: SqlParameter;
  lte?: SqlParameter;
  gt?: SqlParameter;
  gte?: SqlParameter;
  in?: SqlParameter[];
  notIn?: SqlParameter[];
  /** With SQL's `%` and `_`. */
  like?: string;
  contains?: string;
  startsWith?: string;
}

/** `"name"`, `"-name"` or `"name desc"` for descending, `{ name: "desc" }`, or several. */
type OrderBy = string | { [column: string]: "asc" | "desc" | 1 | -1 } | OrderBy[];

interface FindOptions {
  /** All where left out. */
  columns?: string[];
  orderBy?: OrderBy;
  /** The same as `orderBy`. */
  order?: OrderBy;
  offset?: number;
}

interface FindManyOptions extends FindOptions {
  /** Without one, more rows than `limits.db_rows` fail with a LimitError. */
  limit?: number;
}

interface StatementOutcome {
  /** Rows that an INSERT, UPDATE or DELETE changed. */
  affected: number;
  /** The rowid of the row that an INSERT wrote, or PostgreSQL's number of it, where it has one. */
  lastInsertId: number | bigint | null;
  /** What the statement answered, as with RETURNING. */
  rows: { [column: string]: SqlValue }[];
}

/** Rows are objects of columns and their SqlValues. `T` is yours to name: only the schema knows it. */
interface Statements {
  /** One SQL statement; its parameters are `$1`, `$2`, … or `?`, and one for each. */
  query<T = any>(sql: string, parameters?: SqlParameter[]): Promise<T[]>;
  /** The first row, or null. */
  queryOne<T = any>(sql: string, parameters?: SqlParameter[]): Promise<T | null>;
  execute(sql: string, parameters?: SqlParameter[]): Promise<StatementOutcome>;
  findOne<T = any>(table: string, where?: Where | null, options?: FindOptions): Promise<T | null>;
  findMany<T = any>(table: string, where?: Where | null, options?: FindManyOptions): Promise<T[]>;
  /** The row as it was written. A value of undefined is left to the column's default. */
  insert<T = any>(table: string, row: { [column: string]: SqlParameter }): Promise<T>;
  /** How many rows it changed. */
  update(table: string, where: Where | null, values: { [column: string]: SqlParameter }): Promise<number>;
  /** How many rows it deleted. */
  delete(table: string, where: Where | null): Promise<number>;
}

interface Db extends Statements {
  /**
   * Runs `work` in a transaction, whose statements are those of the object it is
   * given. Commits when `work` is done, rolls back and rethrows when it throws.
   * On PostgreSQL an error of a statement ends it, caught or not.
   * Statements of `db` itself are not part of it.
   */
  transaction<T>(work: (transaction: Statements) => T | Promise<T>): Promise<T>;
}

declare const db: Db;
