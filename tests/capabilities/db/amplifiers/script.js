async function main() {
    return [
        await refusal(() => db.query("SELECT hex(zeroblob(400000000))")),
        await refusal(() => db.query("SELECT length(randomblob(400000000))")),
        await refusal(() => db.query("SELECT replace(hex(zeroblob(100000)), '0', 'xxxxxxxxxx')")),
        await refusal(() => db.query("SELECT printf('%.*c', 100000000, 'x')")),
        await refusal(() => db.query(`SELECT ${"(".repeat(200)}1${")".repeat(200)}`)),
        await refusal(() => db.query(`SELECT 1 ${"UNION ALL SELECT 1 ".repeat(200)}`)),
        await refusal(() => db.query(`SELECT '${"x".repeat(70_000)}'`)),
    ];
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
