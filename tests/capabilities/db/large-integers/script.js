async function main() {
    const largest = 2n ** 63n - 1n;
    await db.insert("numbers", { id: 1, n: largest });
    await db.execute("INSERT INTO numbers VALUES (2, -9223372036854775808), (3, 9007199254740991), (4, 9007199254740993)");
    const rows = await db.query("SELECT id, n FROM numbers ORDER BY id");
    const found = await db.findOne("numbers", { n: 9007199254740993n });
    return {
        types: rows.map((row) => typeof row.n),
        exact: rows.map((row) => String(row.n)),
        equal: rows[0].n === largest,
        found: found.id,
        sum: String((await db.queryOne("SELECT sum(n) AS s FROM numbers WHERE id > 2")).s),
        straight_out: await refusal(async () => JSON.stringify(rows[3])),
    };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
