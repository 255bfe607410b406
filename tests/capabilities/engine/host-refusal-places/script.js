// A host call that is refused is told of at the script's line.
async function helper() {
    await storage.get("");
}

async function main() {
    await null;
    await helper();
}

async function atOnce() {
    utils.date.addDays("never", 1);
}

async function query() {
    const rows = await db.query("SELECT * FROM missing");
    return rows;
}
