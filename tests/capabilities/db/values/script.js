async function main() {
    const rows = [
        {
            small: 42,
            large: 2n ** 63n - 1n,
            fraction: 0.1,
            exact: "12.50",
            note: "é€😀 'quoted' \" $1 ? \\",
            flag: true,
            day: "2024-02-29",
            at: new Date(Date.UTC(2024, 0, 31, 13, 5, 9, 70)),
            key: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            data: { a: [1, null, { b: "x" }], c: 0.5 },
            list: [1, null, 3],
            bytes: new Uint8Array([0, 1, 255]),
        },
        { small: -1, large: Number.MAX_SAFE_INTEGER, fraction: 1e300, exact: "-0.000000000000000000001", note: "", flag: false, data: [], list: [], bytes: new Uint8Array() },
        { small: null, note: undefined, data: "\"text\"" },
    ];
    for (const [id, row] of rows.entries()) await db.insert("kept", { id, ...row });
    const found = await db.findMany("kept", {}, { orderBy: "id" });
    const columns = Object.keys(rows[0]).join(", ");
    const queried = await db.query(`SELECT ${columns} FROM kept ORDER BY id`);
    return {
        found: found.map(shown),
        // The same by SQL, and with every value as a parameter that must equal it.
        same: queried.every((row, index) => JSON.stringify(shown(row)) === JSON.stringify(shown({ ...found[index], id: undefined }))),
        equal: (await db.query("SELECT id FROM kept WHERE small = ? AND large = ? AND fraction = ? AND note = ? AND flag = ? AND day = ? AND at = ? AND key = ? AND bytes = ?", [
            42, 2n ** 63n - 1n, 0.1, rows[0].note, true, "2024-02-29", rows[0].at, rows[0].key, rows[0].bytes,
        ])).length,
    };
}

// JSON has neither integers beyond 2^53 nor bytes.
function shown(row) {
    return {
        ...row,
        large: typeof row.large === "bigint" ? `${row.large}n` : row.large,
        bytes: row.bytes && [...row.bytes],
    };
}
