// What a call leaves open is rolled back, and the next call may write.
function main() {
    return new Promise((resolve) => {
        db.transaction(async (tx) => {
            await tx.insert("items", { id: 1 });
            resolve((await tx.query("SELECT count(*) AS n FROM items"))[0].n);
            await new Promise(() => {});
        });
    });
}

async function count() {
    await db.insert("items", { id: 2 });
    return db.query("SELECT id FROM items");
}
