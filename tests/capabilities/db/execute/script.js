async function main() {
    return {
        insert: await db.execute("INSERT INTO items (name, price) VALUES ($1, $2), ($3, $4)", ["ink", 1, "pen", 2]),
        update: await db.execute("UPDATE items SET price = price * 2 WHERE price > $1", [1]),
        returning: await db.execute("INSERT INTO items (name) VALUES ('pad') RETURNING id, name"),
        upsert: await db.execute("INSERT INTO items (id, name) VALUES (1, 'INK') ON CONFLICT (id) DO UPDATE SET name = excluded.name"),
        delete: await db.execute("DELETE FROM items WHERE name = 'pen'"),
        left: await db.query("SELECT id, name, price FROM items ORDER BY id"),
    };
}
