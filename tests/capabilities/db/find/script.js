async function main() {
    const ids = async (where, options) => (await db.findMany("items", where, options)).map((item) => item.id);
    return {
        all: await ids(),
        equal: await ids({ kind: "a" }),
        both: await ids({ kind: "a", price: 3 }),
        null: await ids({ price: null }),
        not_null: await ids({ price: { ne: null } }),
        ne: await ids({ kind: { ne: "a" } }),
        range: await ids({ price: { gte: 2, lt: 4 } }),
        gt_lte: await ids({ price: { gt: 1, lte: 3 } }),
        array: await ids({ id: [1, 4, 99] }),
        in: await ids({ id: { in: [2] } }),
        not_in: await ids({ id: { notIn: [2, 3] } }),
        empty: await ids({ id: [] }),
        in_with_null: await ids({ price: { in: [null, 1] } }),
        like: await ids({ name: { like: "p%" } }),
        contains: await ids({ name: { contains: "_" } }),
        starts: await ids({ name: { startsWith: "p" } }),
        descending: await ids({}, { orderBy: "-price" }),
        words: await ids({}, { orderBy: "price desc" }),
        objects: await ids({}, { orderBy: [{ kind: "desc" }, { id: -1 }] }),
        page: await ids({}, { order: "id", limit: 2, offset: 1 }),
        columns: await db.findMany("items", { id: 1 }, { columns: ["name", "kind"] }),
        one: await db.findOne("items", { id: 2 }),
        ordered_one: (await db.findOne("items", {}, { orderBy: "-id" })).id,
        no_one: await db.findOne("items", { id: 99 }),
    };
}
