async function main() {
    const { clients } = services;
    return [
        await refusal(() => services.client.list()),
        await refusal(() => services.warehouse.list()),
        await refusal(() => clients.lists()),
        await refusal(() => clients.truncate()),
        await refusal(() => clients.get(null)),
        await refusal(() => clients.get()),
        await refusal(() => clients.get({ id: 1 })),
        await refusal(() => clients.get([1])),
        await refusal(() => clients.delete(null)),
        await refusal(() => clients.update(undefined, { name: "x" })),
        await refusal(() => clients.update(1)),
        await refusal(() => clients.create("Ada")),
        await refusal(() => clients.create({ nickname: "Ada" })),
        await refusal(() => clients.list({ filter: [] })),
        await refusal(() => clients.list("all")),
        await refusal(() => clients.list({ filters: [{ field: "id", operator: "regexp", value: "." }] })),
        await refusal(() => clients.list({ filters: [{ field: "id", operator: "eq", value: undefined }] })),
        await refusal(() => clients.list({ filters: [{ field: "id", operator: "in", value: 1 }] })),
        await refusal(() => clients.list({ filters: [{ operator: "eq", value: 1 }] })),
        await refusal(() => clients.list({ filters: [{ field: "id\" OR 1=1 --", value: 1 }] })),
        await refusal(() => clients.list({ order: "name; DROP TABLE clients" })),
        await refusal(() => clients.list({ limit: -1 })),
        await refusal(() => clients.list({ limit: "all" })),
        await refusal(() => clients.get(5n)),
        await clients.count(),
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
