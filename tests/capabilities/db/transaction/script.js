async function main() {
    const result = await db.transaction(async (tx) => {
        await tx.insert("items", { id: 1, name: "committed" });
        await tx.execute("INSERT INTO items VALUES (2, 'too')");
        return { inside: (await tx.query("SELECT count(*) AS n FROM items"))[0].n, one: (await tx.findOne("items", { id: 1 })).name };
    });
    const thrown = await refusal(() =>
        db.transaction(async (tx) => {
            await tx.update("items", { id: 1 }, { name: "rolled back" });
            await tx.delete("items", { id: 2 });
            throw new RangeError("changed my mind");
        }),
    );
    const failed = await refusal(() =>
        db.transaction(async (tx) => {
            await tx.insert("items", { id: 3, name: "rolled back" });
            await tx.insert("items", { id: 1, name: "there is one" });
        }),
    );
    let escaped;
    await db.transaction(async (tx) => (escaped = tx));
    return {
        result,
        thrown,
        failed,
        left: await db.query("SELECT id, name FROM items ORDER BY id"),
        after_the_end: await refusal(() => escaped.query("SELECT 1")),
        not_a_function: await refusal(() => db.transaction("BEGIN")),
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
