async function main() {
    return [await refusal(() => db.query("SELECT * FROM clients")), await db.query("SELECT 1 + 1 AS two")];
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
