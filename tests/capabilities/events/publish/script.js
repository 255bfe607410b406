async function main() {
    const ids = [
        await events.publish("order.created", { id: 7, at: new Date(0), nested: [null] }),
        await events.publish("script.metric"),
        await events.publish("a-b_c:d.e", "text"),
    ];
    return { ids, distinct: new Set(ids).size };
}
