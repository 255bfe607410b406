async function main() {
    const statements = [
        "ATTACH DATABASE '/tmp/other.db' AS other",
        "PRAGMA table_info(items)",
        "SELECT * FROM pragma_table_info('items')",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM sqlite_schema",
        "CREATE TABLE mine (id)",
        "DROP TABLE items",
        "ALTER TABLE items ADD COLUMN x",
        "CREATE TRIGGER t AFTER INSERT ON items BEGIN SELECT 1; END",
        "VACUUM INTO '/tmp/copy.db'",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT s",
        "EXPLAIN SELECT 1",
        "SELECT load_extension('x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT set_config('airlock.token', 'x', false)",
        "SELECT pg_sleep(60)",
        "SELECT * FROM pg_catalog.pg_authid",
        "SELECT * FROM information_schema.tables",
        "SELECT xmin FROM items",
        "SELECT $1::int",
        "SET airlock.token = 'x'",
        "RESET ALL",
        "COPY items TO PROGRAM 'sh'",
        "DO $$BEGIN END$$",
        "LISTEN x",
        "SELECT 'items'::regclass",
        "SELECT name INTO other FROM items",
        "SELECT writefile('/tmp/x', 'y')",
        "SELECT sqlite_version()",
        "SELECT 1; DELETE FROM items",
        "DELETE FROM items; DELETE FROM items",
        "/* a comment */ DROP TABLE items",
        "WITH x AS (SELECT 1) DROP TABLE items",
        "",
        "   -- nothing",
        "SELEC 1",
        "SELECT\n  nme\nFROM items",
        "SELECT * FROM itms",
        "SELECT * FROM other.items",
        "SELECT 'a\0b'",
    ];
    const answers = {};
    for (const sql of statements) answers[sql] = await refusal(() => db.query(sql));
    return { answers, left: await db.query("SELECT id, name FROM items") };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
