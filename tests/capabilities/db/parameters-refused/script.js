async function main() {
    const circle = {};
    circle.self = circle;
    return [
        await refusal(() => db.query("SELECT $1 AS a, $2 AS b", [1])),
        await refusal(() => db.query("SELECT ? AS a", [])),
        await refusal(() => db.query("SELECT ? AS a")),
        await refusal(() => db.query("SELECT ? AS a", [1, 2])),
        await refusal(() => db.query("SELECT :name AS a", [1])),
        await refusal(() => db.query("SELECT @name AS a", [1])),
        await refusal(() => db.query("SELECT $1 AS a", { 1: 1 })),
        await refusal(() => db.query("SELECT $1 AS a", "text")),
        await refusal(() => db.query("SELECT $1 AS a", [() => 1])),
        await refusal(() => db.query("SELECT $1 AS a", [Symbol("s")])),
        await refusal(() => db.query("SELECT $1 AS a", [new Date(NaN)])),
        await refusal(() => db.query("SELECT $1 AS a", [circle])),
        await refusal(() => db.query("SELECT $1 AS a", [NaN])),
        await refusal(() => db.query("SELECT $1 AS a", [2n ** 63n])),
        await refusal(() => db.query("SELECT $1 AS a", [{ big: 1n }])),
        await refusal(() => db.query(7)),
        await refusal(() => db.query("SELECT 1", Array(1001).fill(1))),
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
