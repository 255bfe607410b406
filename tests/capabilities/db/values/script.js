async function main() {
    const values = {
        integer: 42,
        safe: Number.MAX_SAFE_INTEGER,
        negative: -1,
        fraction: 0.1,
        large: 1e300,
        text: "é€😀 'quoted' \" $1 ?",
        empty: "",
        yes: true,
        none: null,
        missing: undefined,
        date: new Date(Date.UTC(2024, 0, 31)),
        object: { a: [1, null], b: "x" },
        array: [1, "two"],
        bytes: new Uint8Array([0, 1, 255]),
    };
    const back = {};
    for (const [name, value] of Object.entries(values)) {
        await db.insert("kept", { name, value });
        const row = await db.queryOne("SELECT value, typeof(value) AS type FROM kept WHERE name = $1", [name]);
        back[name] = [row.value instanceof Uint8Array ? [...row.value] : row.value, row.type];
    }
    return back;
}
