async function main() {
    const first = await db.insert("items", { name: "pen", price: 1.5, left_out: undefined });
    const second = await db.insert("items", { name: "pad" });
    return {
        first,
        second,
        defaults: await db.insert("empty", {}),
        updated: await db.update("items", { id: first.id }, { price: 2, name: null }),
        updated_none: await db.update("items", { id: 99 }, { price: 2 }),
        deleted: await db.delete("items", { id: { in: [second.id, 99] } }),
        left: await db.findMany("items"),
    };
}
