// The tenant's key-value store. Keys are texts of 1 to `limits.storage_key_bytes`
// bytes; values are JSON of at most `limits.storage_value_bytes`. A time to live
// is in seconds, above 0; a value without one stays. Errors: see HostError.

interface StorageEntry<T = any> {
  key: string;
  value: T;
}

interface StoragePage<T = any> {
  /** In the byte order of their keys. */
  entries: StorageEntry<T>[];
  /** Pass it as `after` to read on; null at the end. */
  next: string | null;
}

interface TenantStorage {
  /** The value, or null. */
  get<T = any>(key: string): Promise<T | null>;
  set(key: string, value: unknown, ttl?: number | null): Promise<void>;
  /** Whether there was a value. */
  delete(key: string): Promise<boolean>;
  has(key: string): Promise<boolean>;
  /** Entries whose key starts with `prefix`; 100 a page, 1000 at most. */
  list<T = any>(prefix?: string, options?: { after?: string | null; limit?: number }): Promise<StoragePage<T>>;
  /** Adds `by`, 1 if left out, to a number that starts at 0, and resolves with the sum. Without a time to live, the stored one stays. */
  increment(key: string, by?: number, ttl?: number | null): Promise<number>;
  /**
   * Writes `value` only while the stored one equals `expected` (null: while there
   * is none) as JSON, and resolves with whether it did.
   */
  compareAndSet(key: string, expected: unknown, value: unknown, ttl?: number | null): Promise<boolean>;
}

declare const storage: TenantStorage;
