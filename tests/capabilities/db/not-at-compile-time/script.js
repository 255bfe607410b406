db.query("SELECT 1").catch((error) => (globalThis.refused = error.message));

function main() {
    return globalThis.refused;
}
