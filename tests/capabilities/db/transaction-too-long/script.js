async function main() {
    return refusal(() =>
        db.transaction(async (tx) => {
            await tx.insert("items", { id: 1 });
            await new Promise((resolve) => setTimeout(resolve, 40));
            await tx.insert("items", { id: 2 });
        }),
    );
}

async function count() {
    return db.query("SELECT id FROM items");
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
