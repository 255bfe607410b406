async function main() {
    return [
        await refusal(() => events.publish("")),
        await refusal(() => events.publish("order created")),
        await refusal(() => events.publish("x".repeat(201))),
        await refusal(() => events.publish(undefined, {})),
        await refusal(() => events.publish(7)),
        await refusal(() => events.publish("a", 5n)),
        await refusal(() => events.publish("a", "x".repeat(2000))),
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
