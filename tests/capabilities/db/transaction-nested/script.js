// The inner one waits for the outer one's locks and is refused; the outer one goes on.
async function main() {
    let inner;
    await db.transaction(async (tx) => {
        await tx.insert("items", { id: 1 });
        inner = await refusal(() => db.transaction(async (other) => other.insert("items", { id: 2 })));
        await tx.insert("items", { id: 3 });
    });
    return { inner, left: await db.query("SELECT id FROM items ORDER BY id") };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
