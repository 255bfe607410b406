async function main() {
    return db.query("SELECT 9007199254740993 AS n");
}
