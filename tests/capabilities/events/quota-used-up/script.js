// Of all its calls together; another tenant has its own.
async function main() {
    const published = [];
    try {
        for (let n = 0; n < 2; n++) published.push(typeof (await events.publish("order.created", { n })));
    } catch (error) {
        return { published, error: `${error.name}: ${error.message}`, limit: error.limit };
    }
    return { published };
}
