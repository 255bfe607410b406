//! What a script could send if no parser stood before the database: this is the
//! inner wall alone.

use std::fmt::Write as _;

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::run;
use crate::capabilities::db::postgres::fixture::Database;
use crate::capabilities::db::postgres::{Protection, audit};

/// What must never come back: it is globex's, or nobody's.
const FOREIGN: [&str; 7] = ["globex", "hank", "marge", "47114711", "81508150", "770077", "hidden"];

/// An hour from now.
pub(super) fn soon() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3600
}

/// A connection of the login role whose session is acme's.
pub(super) async fn acme(database: &Database, protection: &Protection) -> PgConnection {
    let mut connection = database.connect(&database.login).await;
    let pid: i32 = pid(database, &mut connection).await;
    let token = protection.keys.sign("acme", pid, soon()).unwrap();
    run(&mut connection, &format!("SELECT airlock.enter('{token}')")).await.unwrap();
    connection
}

/// The backend's process id, which the login role cannot ask for.
pub(super) async fn pid(database: &Database, connection: &mut PgConnection) -> i32 {
    let mark = uuid::Uuid::new_v4().to_string();
    run(connection, &format!("SET application_name = '{mark}'")).await.unwrap();
    let pid = sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE application_name = $1");
    pid.bind(mark).fetch_one(&mut database.admin().await).await.unwrap()
}

/// All rows that are not acme's, the keys, and what the roles are.
async fn contents(database: &Database) -> Vec<Vec<String>> {
    let mut admin = database.admin().await;
    let mut contents = Vec::new();
    for query in [
        "SELECT * FROM clients WHERE tenant_id <> 'acme' ORDER BY id",
        "SELECT tenant_id, client_id, currency, total FROM orders WHERE tenant_id <> 'acme' ORDER BY id",
        "SELECT * FROM invoices ORDER BY number",
        "SELECT * FROM secrets ORDER BY tenant_id",
        "SELECT * FROM currencies ORDER BY code",
        "SELECT * FROM internal",
        "SELECT * FROM airlock.token_keys",
        "SELECT relname, relrowsecurity, relforcerowsecurity, relacl FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    ] {
        contents.push(run(&mut admin, query).await.unwrap());
    }
    contents
}

/// What the database refuses.
const REFUSED: &str = include_str!("refused.sql");

/// What it cannot refuse. It gives nothing of another tenant's by itself, and
/// is the parser's to keep out.
const LEFT_TO_THE_PARSER: &str = include_str!("left-to-the-parser.sql");

#[tokio::test]
async fn nothing_of_another_tenant_comes_back_or_changes() {
    let (database, protection) = Database::protected().await;
    let before = contents(&database).await;
    let mut audited = Vec::new();
    let mut wrong = String::new();
    for (text, usual) in [(REFUSED, "42501"), (LEFT_TO_THE_PARSER, "ok")] {
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
            let (sql, expected) = line.rsplit_once(" -- ").unwrap_or((line, usual));
            let mut connection = acme(&database, &protection).await;
            let found = match run(&mut connection, sql).await {
                Ok(rows) => {
                    let rows = rows.join(", ");
                    if let Some(word) = FOREIGN.iter().find(|word| rows.contains(**word)) {
                        let _ = writeln!(wrong, "{sql}\n    answers `{word}`: {rows}");
                    }
                    "ok".to_owned()
                }
                Err((code, message)) => {
                    if let Some(word) = FOREIGN.iter().find(|word| message.contains(**word)) {
                        let _ = writeln!(wrong, "{sql}\n    tells `{word}`: {message}");
                    }
                    code
                }
            };
            if found != expected {
                let _ = writeln!(wrong, "{sql} -- {found}");
            }
        }
        audited.push(audit::audit(&mut database.admin().await, &protection).await.unwrap().findings);
    }
    assert_eq!(before, contents(&database).await);
    assert!(wrong.is_empty(), "{wrong}");
    // A role may change its own settings, and the audit sees it.
    assert_eq!(audited[0], []);
    let seen: Vec<_> = audited[1].iter().map(|finding| (finding.kind, finding.object.as_str())).collect();
    assert_eq!(seen, [("limit", format!("{}, statement_timeout", database.login).as_str())]);
}

#[tokio::test]
async fn what_scripts_need_works() {
    let (database, protection) = Database::protected().await;
    let mut acme = acme(&database, &protection).await;
    for (sql, expected) in [
        ("SELECT * FROM clients", "acme 1 ada@acme.example"),
        ("SELECT tenant_id, total FROM orders", "acme 10"),
        ("SELECT number FROM invoices", "1"),
        ("SELECT count(*), sum(total), avg(total)::int, max(total) FROM orders", "1 10 10 10"),
        (
            "SELECT c.email FROM orders o JOIN clients c ON c.id = o.client_id WHERE o.total BETWEEN 5 AND 20",
            "ada@acme.example",
        ),
        ("INSERT INTO clients (id, email) VALUES (2, 'bo@acme.example') RETURNING tenant_id", "acme"),
        ("INSERT INTO orders (client_id, total) VALUES (2, 7.5) RETURNING id > 3", "t"),
        (
            "INSERT INTO clients (id, email) VALUES (2, 'x') ON CONFLICT (tenant_id, id) DO UPDATE SET email = 'bo2' RETURNING email",
            "bo2",
        ),
        ("UPDATE clients SET email = upper(email) WHERE id = 2 RETURNING email", "BO2"),
        ("DELETE FROM orders WHERE client_id = 2 RETURNING total", "7.5"),
        ("SELECT code FROM currencies ORDER BY code", "EUR, USD"),
        ("SELECT to_jsonb(c)->>'email' FROM clients c WHERE id = 1", "ada@acme.example"),
        ("SELECT jsonb_agg(jsonb_build_object('id', id) ORDER BY id) FROM clients", r#"[{"id": 1}, {"id": 2}]"#),
        ("SELECT row_number() OVER (ORDER BY id) FROM orders", "1"),
        ("SELECT date_trunc('month', timestamptz '2024-05-17 10:00Z') AT TIME ZONE 'UTC'", "2024-05-01 00:00:00"),
        ("SELECT to_char(date '2024-05-17', 'DD.MM.YYYY'), extract(year FROM date '2024-05-17')", "17.05.2024 2024"),
        ("SELECT now() > timestamptz '2024-01-01', current_date > '2024-01-01'", "t t"),
        ("SELECT string_agg(x, ',' ORDER BY x) FROM unnest(ARRAY['b', 'a']) x", "a,b"),
        (
            "SELECT coalesce(NULL, 'x'), nullif(1, 1), greatest(1, 2), 'a' || 1, 'abc' LIKE 'a%', 'abc' ~ '^a', 3 IN (1, 2, 3)",
            "x NULL 2 a1 t t t",
        ),
        ("SELECT count(*) FROM generate_series(timestamptz '2024-01-01', '2024-01-03', '1 day')", "3"),
        ("SELECT length(gen_random_uuid()::text), round(2.567, 2), md5('x') = md5('y'), random() < 1", "36 2.57 f t"),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM generate_series(1, 3) x", "2"),
        ("SELECT '{\"a\": [1, 2]}'::jsonb @? '$.a[*] ? (@ > 1)', jsonb_path_query_array('[1,2]', '$[*]')", "t [1, 2]"),
        ("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3) SELECT sum(n) FROM n", "6"),
        ("SELECT to_tsvector('english', 'the cats') @@ to_tsquery('english', 'cat')", "t"),
        ("SELECT id FROM clients WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10) AND id = ANY (ARRAY[1])", "1"),
        ("SELECT (1, 'a') < (2, 'a'), ROW(1, 2) IS DISTINCT FROM ROW(1, 3)", "t t"),
        (
            "SELECT split_part('a,b', ',', 2), substring('abc' FROM 2), trim('  x '), position('b' IN 'abc'), replace('aba', 'a', 'c')",
            "b bc x 2 cbc",
        ),
    ] {
        let rows = run(&mut acme, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(rows.join(", "), expected, "{sql}");
    }
}

#[tokio::test]
async fn copying_out_gives_a_tenant_its_own_rows() {
    let (database, protection) = Database::protected().await;
    let mut acme = acme(&database, &protection).await;
    for sql in ["COPY clients TO STDOUT", "COPY (SELECT * FROM clients) TO STDOUT"] {
        let copied: Vec<_> = acme.copy_out_raw(sql).await.unwrap().try_collect().await.unwrap();
        assert_eq!(copied, ["acme\t1\tada@acme.example\n"], "{sql}");
    }
    let into = acme.copy_in_raw("COPY clients FROM STDIN").await.err().unwrap();
    assert_eq!(into.as_database_error().unwrap().code().unwrap(), "0A000");
}
