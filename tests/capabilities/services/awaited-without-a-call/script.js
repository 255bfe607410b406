// `await services` and passing a service around must not call anything.
async function main() {
    const all = await services;
    const clients = await all.clients;
    return { count: await clients.count(), kind: typeof clients.list };
}
