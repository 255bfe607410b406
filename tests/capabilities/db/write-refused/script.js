async function main() {
    return [
        await refusal(() => db.update("items", {}, { price: 2 })),
        await refusal(() => db.update("items", undefined, { price: 2 })),
        await refusal(() => db.delete("items", {})),
        await refusal(() => db.delete("items")),
        await refusal(() => db.update("items", { id: 1 }, {})),
        await refusal(() => db.update("items", { id: undefined }, { price: 1 })),
        await refusal(() => db.insert("items", [1])),
        await refusal(() => db.insert("items", { id: 1 })),
        await refusal(() => db.insert("items", { price: -1 })),
        await refusal(() => db.insert("items", { colour: "red" })),
        await refusal(() => db.insert("items", { nam: "pen" })),
        await refusal(() => db.insert("item", { id: 2 })),
        await refusal(() => db.insert("items; DROP TABLE items", { id: 2 })),
        await refusal(() => db.insert("items", { "id) VALUES (5); --": 2 })),
        await refusal(() => db.insert(7, {})),
        await refusal(() => db.findMany("items", { id: { regexp: 1 } })),
        await refusal(() => db.findMany("items", { id: { in: 1 } })),
        await refusal(() => db.findMany("items", { id: { gt: null } })),
        await refusal(() => db.findMany("items", {}, { limit: -1 })),
        await refusal(() => db.findMany("items", {}, { limt: 1 })),
        await refusal(() => db.findMany("items", {}, { orderBy: "id; DROP TABLE items" })),
        await refusal(() => db.findMany("items", "id = 1")),
        await db.findMany("items"),
    ];
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
