async function main() {
    return {
        rows: await db.query("SELECT id, name FROM items WHERE price > $1 ORDER BY id", [1]),
        question_marks: await db.query("SELECT name FROM items WHERE id = ? OR name = ? ORDER BY id", [1, "pen"]),
        reused: await db.query("SELECT $1 AS a, $2 AS b, $1 AS again", ["x", null]),
        none: await db.query("SELECT * FROM items WHERE id = 99"),
        no_parameters: await db.query("SELECT count(*) AS n FROM items"),
        one: await db.queryOne("SELECT name FROM items ORDER BY id"),
        no_one: await db.queryOne("SELECT name FROM items WHERE id = 99"),
        common_table: await db.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n"),
        window: await db.query("SELECT name, rank() OVER (ORDER BY price DESC) AS place FROM items ORDER BY place"),
        semicolon: await db.query("SELECT 1 AS one; -- and a comment"),
    };
}
