//! What is sent for what a script wrote, and what is refused.

use std::collections::{BTreeSet, HashMap};

use super::super::catalog::{Catalog, Column, Table};
use super::check;

fn catalog() -> Catalog {
    let table = |name: &str, columns: &[&str]| Table {
        schema: "shop".to_owned(),
        name: name.to_owned(),
        tenant: Some("tenant_id".to_owned()),
        columns: ["tenant_id"]
            .iter()
            .chain(columns)
            .map(|name| Column {
                name: (*name).to_owned(),
                kind: "text".to_owned(),
                oid: 25,
                not_null: false,
                short: false,
                numbered: false,
                plain: false,
            })
            .collect(),
        keys: HashMap::new(),
    };
    Catalog::new(
        [table("items", &["id", "name", "price"]), table("orders", &["id", "item", "data"])],
        [("tax".to_owned(), "\"shop\".\"tax\"".to_owned())],
    )
}

#[test]
fn statements_are_written_anew() {
    let catalog = catalog();
    for (sql, sent) in [
        ("select * from items", r#"SELECT * FROM "shop"."items""#),
        (" ; SELECT 1 ; -- done", "SELECT 1"),
        ("SELECT 1 AS One -- a\n, 2 /* /* nested */ */", r#"SELECT 1 AS "one", 2"#),
        ("SELECT ?, ?", "SELECT $1, $2"),
        ("SELECT $2, $01", "SELECT $2, $1"),
        ("SELECT ?-1, ?||'x', ?::int", "SELECT $1 - 1, $2 || 'x', CAST($3 AS int4)"),
        ("SELECT 'it''s', E'it\\'s\\n', $$it's$$, $a$b$a$", "SELECT 'it''s', 'it''s\n', 'it''s', 'b'"),
        (r#"SELECT U&'d\0061t', 'C:\', '--', '/*'"#, r#"SELECT 'dat', 'C:\', '--', '/*'"#),
        (r#"SELECT "Na""me", NAME FROM Items AS I"#, r#"SELECT "Na""me", "name" FROM "shop"."items" AS "i""#),
        ("SELECT - -1, -(-1), NOT NOT true", "SELECT - - 1, - (- 1), NOT NOT TRUE"),
        ("SELECT 1+2*3-4 = 5 AND NOT a IS NULL OR b", r#"SELECT 1 + 2 * 3 - 4 = 5 AND NOT "a" IS NULL OR "b""#),
        ("SELECT count(*), sum(DISTINCT price)", r#"SELECT pg_catalog."count"(*), pg_catalog."sum"(DISTINCT "price")"#),
        ("SELECT tax(price)", r#"SELECT "shop"."tax"("price")"#),
        ("SELECT pg_catalog.lower('X')", r#"SELECT pg_catalog."lower"('X')"#),
        ("SELECT coalesce(name, ''), current_date", r#"SELECT COALESCE("name", ''), CURRENT_DATE"#),
        ("SELECT substring(name from 2 for 3)", r#"SELECT pg_catalog."substring"("name", 2, 3)"#),
        ("SELECT position('a' IN name)", r#"SELECT pg_catalog."position"("name", 'a')"#),
        (
            "SELECT trim(both 'x' from name), trim(name)",
            r#"SELECT pg_catalog."btrim"("name", 'x'), pg_catalog."btrim"("name")"#,
        ),
        ("SELECT extract(year FROM now())", r#"SELECT pg_catalog."extract"('year', pg_catalog."now"())"#),
        ("SELECT date '2024-01-01', interval '1 day'", "SELECT CAST('2024-01-01' AS date), INTERVAL '1 day'"),
        (
            "SELECT CAST(x AS varchar(10)), y::numeric(10,2)[]",
            r#"SELECT CAST("x" AS varchar(10)), CAST("y" AS numeric(10, 2)[])"#,
        ),
        ("SELECT now() AT TIME ZONE 'UTC'", r#"SELECT pg_catalog."now"() AT TIME ZONE 'UTC'"#),
        (
            "SELECT ARRAY[1,2][1], ARRAY(SELECT 1), (ARRAY[1,2])[1:2]",
            "SELECT ARRAY[1, 2][1], ARRAY(SELECT 1), (ARRAY[1, 2])[1 : 2]",
        ),
        ("SELECT data->>'a', data #> '{a}'", r#"SELECT "data" ->> 'a', "data" #> '{a}'"#),
        ("SELECT 1 = ANY($1), 2 = ALL (SELECT 3)", "SELECT 1 = ANY ($1), 2 = ALL (SELECT 3)"),
        (
            "SELECT a IN (1,2), b NOT IN (SELECT 1), EXISTS (SELECT 1)",
            r#"SELECT "a" IN (1, 2), "b" NOT IN (SELECT 1), EXISTS (SELECT 1)"#,
        ),
        ("SELECT name LIKE 'a!%' ESCAPE '!', name ~* 'x'", r#"SELECT "name" LIKE 'a!%' ESCAPE '!', "name" ~* 'x'"#),
        (
            "SELECT CASE WHEN a THEN 1 ELSE 2 END, a BETWEEN 1 AND 2",
            r#"SELECT CASE WHEN "a" THEN 1 ELSE 2 END, "a" BETWEEN 1 AND 2"#,
        ),
        (
            "SELECT rank() OVER (PARTITION BY name ORDER BY price DESC NULLS LAST ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
            r#"SELECT pg_catalog."rank"() OVER ( PARTITION BY "name" ORDER BY "price" DESC NULLS LAST ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"#,
        ),
        (
            "SELECT string_agg(name, ',' ORDER BY id) FILTER (WHERE price > 1) FROM items GROUP BY price HAVING count(*) > 1 ORDER BY 1 LIMIT 5 OFFSET 2",
            r#"SELECT pg_catalog."string_agg"("name", ',' ORDER BY "id") FILTER (WHERE "price" > 1) FROM "shop"."items" GROUP BY "price" HAVING pg_catalog."count"(*) > 1 ORDER BY 1 LIMIT 5 OFFSET 2"#,
        ),
        (
            "SELECT i.name, o.* FROM items i LEFT JOIN orders o ON o.item = i.id, LATERAL (SELECT 1) x",
            r#"SELECT "i"."name", "o".* FROM "shop"."items" AS "i" LEFT JOIN "shop"."orders" AS "o" ON "o"."item" = "i"."id", LATERAL (SELECT 1) AS "x""#,
        ),
        (
            "SELECT g.n, e.key FROM generate_series(1, 3) AS g(n), jsonb_each($1) AS e",
            r#"SELECT "g"."n", "e"."key" FROM pg_catalog."generate_series"(1, 3) AS "g" ("n"), pg_catalog."jsonb_each"($1) AS "e""#,
        ),
        (
            "WITH x AS (SELECT 1 AS a), pg_class AS (SELECT * FROM x) SELECT pg_class.a FROM pg_class",
            r#"WITH "~1" AS (SELECT 1 AS "a"), "~2" AS (SELECT * FROM "~1" AS "x") SELECT "pg_class"."a" FROM "~2" AS "pg_class""#,
        ),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
            r#"WITH RECURSIVE "~1" ("i") AS (SELECT 1 UNION ALL SELECT "i" + 1 FROM "~1" AS "n") SELECT "i" FROM "~1" AS "n""#,
        ),
        ("VALUES (1, 'a'), (2, NULL)", "VALUES (1, 'a'), (2, NULL)"),
        ("(SELECT 1) UNION SELECT 2", "(SELECT 1) UNION SELECT 2"),
        ("SELECT 1 FROM items FOR UPDATE SKIP LOCKED", r#"SELECT 1 FROM "shop"."items" FOR UPDATE SKIP LOCKED"#),
        (
            "INSERT INTO items (id, name) VALUES (1, DEFAULT) RETURNING id",
            r#"INSERT INTO "shop"."items" ("id", "name") VALUES (1, DEFAULT) RETURNING "id""#,
        ),
        (
            "INSERT INTO items VALUES ($1) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            r#"INSERT INTO "shop"."items" VALUES ($1) ON CONFLICT ("tenant_id", "id") DO UPDATE SET "name" = "excluded"."name""#,
        ),
        (
            "INSERT INTO items SELECT * FROM items ON CONFLICT DO NOTHING",
            r#"INSERT INTO "shop"."items" SELECT * FROM "shop"."items" ON CONFLICT DO NOTHING"#,
        ),
        (
            "WITH x AS (SELECT 1) UPDATE items SET name = 'a', price = DEFAULT FROM x WHERE id = 1",
            r#"WITH "~1" AS (SELECT 1) UPDATE "shop"."items" SET "name" = 'a', "price" = DEFAULT FROM "~1" AS "x" WHERE "id" = 1"#,
        ),
        (
            "DELETE FROM items i USING orders o WHERE o.item = i.id",
            r#"DELETE FROM "shop"."items" AS "i" USING "shop"."orders" AS "o" WHERE "o"."item" = "i"."id""#,
        ),
    ] {
        match check(sql, &catalog, &|_| true) {
            Ok(checked) => assert_eq!(checked.sql, sent, "{sql}"),
            Err(failure) => panic!("{sql}: {failure:?}"),
        }
    }
}

#[test]
fn what_is_not_on_a_list_is_refused() {
    let catalog = catalog();
    for (sql, message) in [
        // statements
        ("", "TypeError: the SQL statement is empty"),
        ("SELECT 1; SELECT 2", "TypeError: the text holds more than one SQL statement"),
        ("SELECT 'a\0b'", "TypeError: the SQL statement contains a NUL"),
        ("EXPLAIN SELECT 1", "PermissionDenied: EXPLAIN is not available to scripts; SELECT"),
        ("COMMIT", "PermissionDenied: COMMIT is not available to scripts; use db.transaction"),
        ("SET ROLE postgres", "PermissionDenied: SET is not"),
        ("RESET ALL", "PermissionDenied: RESET is not"),
        ("COPY items TO PROGRAM 'sh'", "PermissionDenied: COPY is not"),
        ("DO $$BEGIN END$$", "PermissionDenied: DO is not"),
        ("CALL f()", "PermissionDenied: CALL is not"),
        ("LISTEN x", "PermissionDenied: LISTEN is not"),
        ("PREPARE x AS SELECT 1", "PermissionDenied: PREPARE is not"),
        ("TABLE items", "PermissionDenied: TABLE is not"),
        ("MERGE INTO items USING orders ON true WHEN MATCHED THEN DELETE", "PermissionDenied: MERGE is not"),
        ("CREATE TABLE x (y int)", "PermissionDenied: CREATE is not"),
        ("SELECT 1 INTO x", "PermissionDenied: SELECT INTO"),
        (
            "WITH x AS (DELETE FROM items RETURNING *) SELECT * FROM x",
            "PermissionDenied: a statement that writes within another",
        ),
        ("WITH x AS (SELECT 1) DROP TABLE items", "syntax error"),
        ("SELEC 1", "DatabaseError: near \"SELEC\": syntax error (line 1, column 1)"),
        ("\n SELECT name\n  FROM items)", "DatabaseError: near \")\": syntax error (line 3, column 13)"),
        ("SELECT 1 FROM", "DatabaseError: incomplete input"),
        // tables
        ("SELECT * FROM itms", "DatabaseError: no such table: itms; did you mean items?"),
        ("SELECT * FROM shop.items", "DatabaseError: no such table: shop.items"),
        ("SELECT * FROM pg_catalog.pg_class", "DatabaseError: no such table: pg_catalog.pg_class"),
        ("SELECT * FROM pg_authid", "DatabaseError: no such table: pg_authid"),
        ("SELECT * FROM information_schema.tables", "DatabaseError: no such table"),
        ("WITH pg_class AS (SELECT * FROM pg_class) SELECT 1", "DatabaseError: no such table: pg_class"),
        ("SELECT (WITH x AS (SELECT 1) SELECT 1), (SELECT 1 FROM x)", "DatabaseError: no such table: x"),
        ("INSERT INTO pg_settings VALUES (1)", "DatabaseError: no such table: pg_settings"),
        ("UPDATE pg_settings SET setting = 'x'", "DatabaseError: no such table: pg_settings"),
        ("WITH x AS (SELECT 1) INSERT INTO x VALUES (1)", "DatabaseError: no such table: x"),
        ("SELECT * FROM items TABLESAMPLE SYSTEM (1)", "PermissionDenied: TABLESAMPLE"),
        ("SELECT * FROM ONLY items", ""),
        // functions
        (
            "SELECT set_config('airlock.token', 'x', false)",
            "PermissionDenied: the SQL function set_config() is not available to scripts (line 1, column 8)",
        ),
        ("SELECT pg_catalog.set_config('a', 'b', false)", "PermissionDenied: the SQL function set_config()"),
        ("SELECT \"pg_sleep\"(1)", "PermissionDenied: the SQL function pg_sleep()"),
        ("SELECT airlock.tenant()", "PermissionDenied: the SQL function airlock.tenant()"),
        ("SELECT public.lower('x')", "PermissionDenied: the SQL function public.lower()"),
        ("SELECT shop.tax(1)", "PermissionDenied: the SQL function shop.tax()"),
        ("SELECT * FROM pg_ls_dir('.')", "PermissionDenied: the SQL function pg_ls_dir()"),
        ("SELECT * FROM LATERAL pg_read_file('x') AS f", "PermissionDenied: the SQL function pg_read_file()"),
        ("SELECT * FROM ROWS FROM (pg_ls_dir('.'))", ""),
        ("SELECT query_to_xml('SELECT 1', true, true, '')", "PermissionDenied: the SQL function query_to_xml()"),
        ("SELECT repeat('x', 1000000000)", "PermissionDenied: the SQL function repeat()"),
        ("SELECT current_user", "PermissionDenied: the SQL function current_user()"),
        ("SELECT session_user, user", "PermissionDenied"),
        ("SELECT nextval('x')", "PermissionDenied: the SQL function nextval()"),
        ("SELECT items.pg_typeof FROM items", "DatabaseError: no such column: pg_typeof"),
        ("SELECT items.to_jsonb FROM items", "DatabaseError: no such column: to_jsonb"),
        ("SELECT (items).to_json FROM items", "PermissionDenied: a field of a value"),
        ("SELECT (items).* FROM items", "syntax error"),
        ("SELECT xmin FROM items", "PermissionDenied: the column xmin is not available to scripts (line 1, column 8)"),
        ("SELECT items.ctid FROM items", "PermissionDenied: the column ctid"),
        ("SELECT TableOid FROM items", "PermissionDenied: the column tableoid"),
        // types, operators and strings
        ("SELECT 'pg_class'::regclass", "PermissionDenied: the type"),
        ("SELECT CAST('1' AS regproc)", "PermissionDenied: the type regproc"),
        ("SELECT 'x'::pg_catalog.oid", "PermissionDenied: the type"),
        ("SELECT 'x'::\"char\"", "PermissionDenied: the type"),
        ("SELECT 'x'::xml", "PermissionDenied: the type"),
        ("SELECT regclass 'items'", "PermissionDenied: the type"),
        ("SELECT 1 OPERATOR(pg_catalog.+) 2", "PermissionDenied: the operator"),
        ("SELECT X'1F'", "PermissionDenied: a string of bits"),
        ("SELECT B'101'", "PermissionDenied: a string of bits"),
        ("SELECT 1_000, 0x1F", "PermissionDenied"),
        ("SELECT 'x' COLLATE \"a\"\"b\"", "PermissionDenied: the name"),
        // forms
        (
            "INSERT INTO items VALUES (1) ON CONFLICT ON CONSTRAINT items_pkey DO NOTHING",
            "PermissionDenied: ON CONSTRAINT items_pkey",
        ),
        ("INSERT OR REPLACE INTO items VALUES (1)", "PermissionDenied: SQLite's INSERT OR"),
        ("SELECT DEFAULT", ""),
        ("SELECT 1 ORDER BY 1 USING >", "PermissionDenied: ORDER BY USING"),
        ("SELECT TOP 5 1", ""),
        ("SELECT 1 FROM items, items AS b FOR UPDATE OF shop.items", "PermissionDenied: the table shop.items"),
        // parameters
        ("SELECT ?, $1", "TypeError: the statement mixes"),
        ("SELECT $0", "TypeError: `$0` is not a parameter"),
        ("SELECT :name", "TypeError: `:name` is not a parameter"),
        ("SELECT @name", "TypeError: `@name` is not a parameter"),
        ("SELECT $name", "TypeError: `$name` is not a parameter"),
    ] {
        match check(sql, &catalog, &|_| true) {
            Ok(checked) if message.is_empty() => {
                // Read as something harmless.
                let tables: BTreeSet<String> = checked.tables.read;
                assert!(tables.iter().all(|table| table == "items"), "{sql}: {}", checked.sql);
            }
            Ok(checked) => panic!("{sql}: sent as {}", checked.sql),
            Err(failure) => {
                let said = format!("{}: {}", failure.name, failure.message);
                assert!(said.contains(message), "{sql}: {said}");
            }
        }
    }
}

#[test]
fn what_a_statement_touches_is_known() {
    let catalog = catalog();
    for (sql, read, write) in [
        ("SELECT 1", "", ""),
        ("SELECT * FROM items", "items", ""),
        ("SELECT * FROM items WHERE id IN (SELECT item FROM orders)", "items,orders", ""),
        ("WITH orders AS (SELECT 1) SELECT * FROM orders", "", ""),
        ("SELECT * FROM items FOR UPDATE", "items", "items"),
        ("INSERT INTO items VALUES (1)", "", "items"),
        ("INSERT INTO items SELECT * FROM orders", "orders", "items"),
        ("INSERT INTO items VALUES (1) RETURNING id", "items", "items"),
        ("INSERT INTO items VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 1", "items", "items"),
        ("UPDATE items SET id = 1", "", "items"),
        ("UPDATE items SET id = 1 WHERE id = 2", "items", "items"),
        ("UPDATE items SET id = o.id FROM orders o", "orders", "items"),
        ("DELETE FROM items USING orders", "orders", "items"),
    ] {
        let tables = check(sql, &catalog, &|_| true).unwrap().tables;
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",");
        assert_eq!((list(&tables.read), list(&tables.write)), (read.to_owned(), write.to_owned()), "{sql}");
    }
}

#[test]
fn what_nests_or_grows_too_much_is_refused_and_does_not_end_the_process() {
    let catalog = catalog();
    let wide = |unit: &str, joint: &str, count: usize| vec![unit; count].join(joint);
    let nested = |open: &str, inner: &str, close: &str, count: usize| {
        format!("SELECT {}{inner}{}", open.repeat(count), close.repeat(count))
    };
    for bomb in [
        nested("(", "1", ")", 5000),
        nested("(", "1", "", 5000),
        nested("abs(", "1", ")", 101),
        nested("CASE WHEN true THEN ", "1", " END", 900),
        nested("NOT ", "true", "", 2000),
        nested("- ", "1", "", 900),
        nested("ARRAY[", "1", "]", 500),
        nested("(SELECT ", "1", ")", 99),
        format!("SELECT {}", wide("1", "+", 5000)),
        format!("SELECT {}", wide("abs(1)", ",", 500)),
        format!("SELECT 1 {}", wide("UNION ALL SELECT 1", " ", 200)),
        format!("SELECT 1 FROM {}", wide("items", ",", 200)),
        format!("SELECT 1 FROM items {}", wide("JOIN items ON true", " ", 200)),
        format!("SELECT 1{}", "::int".repeat(5000)),
        format!("SELECT a{}", "[1]".repeat(5000)),
        format!("SELECT 1::int{}", "[]".repeat(5000)),
        format!("SELECT {}", "INTERVAL ".repeat(2000)),
        format!("SELECT {} '1'", "DATE ".repeat(5000)),
        format!("SELECT 'x'{}", " IS NULL".repeat(2000)),
        format!("SELECT 1 FROM {}items{}", "(".repeat(5000), ")".repeat(5000)),
        format!("SELECT {}", "x.".repeat(5000)),
        format!("{}SELECT 1{}", "WITH a AS (".repeat(101), ") SELECT 1".repeat(101)),
    ] {
        let began = std::time::Instant::now();
        let shown: String = bomb.chars().take(60).collect();
        assert!(check(&bomb, &catalog, &|_| true).is_err(), "{shown}");
        assert!(began.elapsed() < std::time::Duration::from_secs(2), "{shown}: {:?}", began.elapsed());
    }
    for fine in [
        format!("SELECT {}", wide("1", "+", 900)),
        format!("SELECT * FROM items WHERE {}", wide("id = $1", " OR ", 450)),
        format!("SELECT * FROM items WHERE id IN ({})", wide("$1", ",", 1000)),
        format!("INSERT INTO items VALUES {}", wide("($1, $2)", ",", 500)),
        nested("(", "1", ")", 90),
        nested("abs(", "1", ")", 90),
        nested("(SELECT ", "1", ")", 20),
    ] {
        let shown: String = fine.chars().take(60).collect();
        if let Err(failure) = check(&fine, &catalog, &|_| true) {
            panic!("{shown}: {failure:?}");
        }
    }
}
