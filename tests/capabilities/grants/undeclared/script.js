// Declares nothing, and the operator grants nothing: what is left is everybody's.
async function main() {
    const tries = {
        db: () => db.query("SELECT 1 AS one"),
        transaction: () => db.transaction(() => 1),
        table: () => db.query("SELECT * FROM clients"),
        count: () => db.query("SELECT count(*) FROM clients"),
        find: () => db.findOne("clients", { id: 1 }),
        schema: () => db.query("SELECT * FROM clientz"),
        service: () => services.clients.list(),
        mail: () => services.notifications.sendEmail({ to: "a@example.com", subject: "s", body: "b" }),
        storageGet: () => storage.get("a"),
        storageSet: () => storage.set("a", 1),
        storageList: () => storage.list(),
        event: () => events.publish("order.created"),
        http: () => http.get("https://api.example.com/"),
        secret: () => secrets.get("KEY"),
    };
    const results = {};
    for (const [name, work] of Object.entries(tries)) {
        results[name] = await work().then((result) => result, (error) => `${error.name}: ${error.message}`);
    }
    console.info("the log is everybody's");
    return { ...results, tenant: context.tenant.name, uuid: utils.uuid().length };
}
