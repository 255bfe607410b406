async function write() {
    await db.insert("items", { id: 1, name: "of a" });
}

async function read() {
    return db.query("SELECT id, name FROM items");
}
