async function main() {
    const tries = {
        query: () => db.query("SELECT name FROM guarded ORDER BY id"),
        count: () => db.queryOne("SELECT count(*) AS n FROM guarded"),
        view: () => db.query("SELECT name FROM shown"),
        find: () => db.findMany("guarded"),
        insert: () => db.execute("INSERT INTO guarded (name) VALUES ('new')"),
        update: () => db.execute("UPDATE guarded SET name = 'x'"),
        updateWhere: () => db.execute("UPDATE guarded SET name = 'x' WHERE id = 1"),
        helper: () => db.update("guarded", { id: 1 }, { name: "y" }),
        remove: () => db.delete("guarded", { id: 1 }),
        returning: () => db.query("DELETE FROM guarded RETURNING name"),
        transaction: () => db.transaction((tx) => tx.query("SELECT name FROM guarded")),
        free: () => db.query("SELECT count(*) AS n FROM free"),
    };
    const results = {};
    for (const [name, work] of Object.entries(tries)) {
        results[name] = await work().then((result) => result ?? null, (error) => `${error.name}: ${error.message}`);
    }
    return results;
}
