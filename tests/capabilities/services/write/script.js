async function main() {
    const { clients, members } = services;
    const created = await clients.create({ name: "Ada", email: "ada@example.com" });
    return {
        created,
        got: await clients.get(created.id),
        by_text: await clients.get(String(created.id)),
        by_key: (await members.get("ada@example.com")).id === created.id,
        updated: await clients.update(created.id, { name: "Ada L." }),
        nothing_to_update: await clients.update(created.id, {}),
        missing: [await clients.get(99), await clients.update(99, { name: "x" }), await clients.delete(99)],
        deleted: [await clients.delete(created.id), await clients.get(created.id)],
    };
}
