async function main() {
    const { clients } = services;
    const names = async (options) => (await clients.list(options)).map((client) => client.name);
    return {
        all: await names(),
        first: (await clients.list({ limit: 1 }))[0],
        eq: await names({ filters: [{ field: "city", operator: "eq", value: "Oslo" }] }),
        short: await names({ filters: { city: "Oslo" } }),
        ne: await names({ filters: [{ field: "city", operator: "ne", value: "Oslo" }] }),
        lt: await names({ filters: [{ field: "credit", operator: "lt", value: 100 }] }),
        between: await names({ filters: [{ field: "credit", operator: "gte", value: 100 }, { field: "credit", operator: "lte", value: 250 }] }),
        gt_date: await names({ filters: [{ field: "seen", operator: "gt", value: new Date("2024-02-01T00:00:00Z") }] }),
        in: await names({ filters: [{ field: "id", operator: "in", value: [3, 1, 99] }] }),
        not_in: await names({ filters: [{ field: "id", operator: "not_in", value: [3, 1] }] }),
        none_in: await names({ filters: [{ field: "id", operator: "in", value: [] }] }),
        like: await names({ filters: [{ field: "name", operator: "like", value: "A%" }] }),
        contains: await names({ filters: [{ field: "name", operator: "contains", value: "%" }] }),
        starts_with: await names({ filters: [{ field: "name", operator: "starts_with", value: "B" }] }),
        is_null: await names({ filters: [{ field: "seen", operator: "is_null" }] }),
        is_not_null: await names({ filters: [{ field: "seen", operator: "is_null", value: false }] }),
        order: await names({ order: "-credit", limit: 2 }),
        orders: await names({ order: [{ field: "city", direction: "desc" }, "name"] }),
        offset: await names({ order: "id", limit: 2, offset: 1 }),
        fields: await clients.list({ fields: ["name"], limit: 1, order: "id" }),
        count: [await clients.count(), await clients.count({ filters: { city: "Oslo" } })],
    };
}
