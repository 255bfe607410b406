async function write() {
    await services.clients.create({ id: 123, name: "of a" });
    return services.clients.list();
}

async function read() {
    return [await services.clients.get(123), await services.clients.list(), await db.query("SELECT * FROM clients"), await services.clients.delete(123)];
}
