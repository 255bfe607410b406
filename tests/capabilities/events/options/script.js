async function main() {
    const first = await events.publish("order.paid", 1, { dedupKey: "order-7" });
    return {
        all: typeof (await events.publish("order.sent", 2, { delay: 1.5, key: "order-7", dedupKey: "sent-7", priority: -100 })),
        none: typeof (await events.publish("order.sent", 3, { delay: null, key: undefined })),
        same: first === (await events.publish("order.paid", 4, { dedupKey: "order-7" })),
        ofAnotherName: first === (await events.publish("order.sent", 5, { dedupKey: "order-7" })),
        refused: [
            await refusal(() => events.publish("a", 1, "soon")),
            await refusal(() => events.publish("a", 1, { dedup: "x" })),
            await refusal(() => events.publish("a", 1, { delay: "1h" })),
            await refusal(() => events.publish("a", 1, { delay: -1 })),
            await refusal(() => events.publish("a", 1, { delay: Infinity })),
            await refusal(() => events.publish("a", 1, { delay: NaN })),
            await refusal(() => events.publish("a", 1, { key: 7 })),
            await refusal(() => events.publish("a", 1, { key: "" })),
            await refusal(() => events.publish("a", 1, { dedupKey: "x".repeat(201) })),
            await refusal(() => events.publish("a", 1, { dedupKey: "a\0b" })),
            await refusal(() => events.publish("a", 1, { priority: 0.5 })),
            await refusal(() => events.publish("a", 1, { priority: 1e300 })),
            await refusal(() => events.publish("script.created", 1)),
        ],
    };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
