// The inner one waits for the outer one's locks and is refused; the outer one goes on.
async function main() {
    let inner;
    await db.transaction(async (tx) => {
        await tx.update("items", { id: 1 }, { stock: 9 });
        inner = await refusal(() => db.transaction(async (other) => other.update("items", { id: 1 }, { stock: 8 })));
        await tx.update("items", { id: 2 }, { stock: 19 });
    });
    return { inner, left: await db.query("SELECT id, stock FROM items ORDER BY id") };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
