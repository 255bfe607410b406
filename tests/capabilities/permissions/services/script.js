async function main() {
    const mail = { to: "ada@example.com", subject: "s", body: "b" };
    const tries = {
        list: () => services.invoices.list(),
        count: () => services.invoices.count(),
        get: () => services.invoices.get(1),
        create: () => services.invoices.create({ total: 7 }),
        update: () => services.invoices.update(1, { total: 8 }),
        delete: () => services.invoices.delete(1),
        // The table is the same, so SQL needs the same.
        sql: () => db.query("SELECT total FROM invoices"),
        sqlWrite: () => db.execute("DELETE FROM invoices"),
        // A service that asks for nothing, of a table that does.
        ledger: () => services.ledger.count(),
        mail: () => services.guarded_mail.sendEmail(mail),
    };
    const results = {};
    for (const [name, work] of Object.entries(tries)) {
        results[name] = await work().then(
            (result) => (name === "mail" ? typeof result : result),
            (error) => `${error.name}: ${error.message}`,
        );
    }
    return results;
}
