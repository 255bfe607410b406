//! What a statement uses, by whatever way, is what the call needs access to.

use std::sync::Arc;

use super::{Deadline, Prepared, Process, Statement};
use crate::capabilities;
use crate::capabilities::db::access::{Access, Grant, Mode, Rules, Table};
use crate::runtime::bindings::airlock::script::db::{Assignment, Filter, Find, Operator, Value};
use crate::runtime::failure::Failure;
use crate::runtime::limits::{Limit, Limits};
use crate::store::fixture::identity;
use crate::tenant::permission::Needs;
use crate::tenant::{Identity, Permissions, User};

const SCHEMA: &str = "
    CREATE TABLE a (id INTEGER PRIMARY KEY, x);
    CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER, y);
    CREATE TABLE parents (id INTEGER PRIMARY KEY);
    CREATE TABLE children (parent INTEGER REFERENCES parents (id) ON DELETE CASCADE);
    INSERT INTO parents VALUES (1);
    INSERT INTO children VALUES (1);
    CREATE TABLE audit (what);
    CREATE TABLE watched (x);
    CREATE TRIGGER watch AFTER INSERT ON watched BEGIN INSERT INTO audit SELECT y FROM b; END;
    CREATE VIEW shown AS SELECT x FROM a;
    CREATE VIEW joined AS SELECT shown.x, b.y FROM shown, b;
    CREATE TRIGGER written INSTEAD OF INSERT ON shown BEGIN INSERT INTO a (x) VALUES (NEW.x); END;
    CREATE VIRTUAL TABLE docs USING fts5 (title);
    CREATE VIRTUAL TABLE docs_more USING fts5 (title);
    INSERT INTO a VALUES (1, 'one'), (2, 'two');
    INSERT INTO b VALUES (1, 1, 'of one');
    INSERT INTO docs VALUES ('words');
";

struct Fixture {
    db: Process,
    limits: Arc<Limits>,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let db = Process::new(directory.path().to_owned());
        db.provision("acme", SCHEMA).await.unwrap();
        Fixture { db, limits: Arc::default(), _directory: directory }
    }

    async fn run(&self, access: &Access, sql: &str) -> Result<(), Failure> {
        let statement = Statement::script(sql.to_owned(), vec![], &self.limits)?;
        self.db.run(access, &self.limits, statement).await.map(|_| ())
    }
}

/// Grants as lists spell them, separated by `;`.
fn granted(tables: &str) -> Access {
    let tables = tables.split_terminator("; ").map(|table| table.parse::<Table>().unwrap()).collect();
    let grant = capabilities::Grant { db: Grant::these(tables), ..capabilities::Grant::default() };
    Access::new(identity("acme"), Arc::new(grant), Arc::default())
}

/// Every table granted, to a user with these permissions. `<table>.r` is needed
/// to read a table and `<table>.w` to write it.
fn user(permissions: &[&str]) -> Access {
    let mut identity = Identity::clone(&identity("acme"));
    let permissions = Permissions::new(permissions.iter().map(|permission| (*permission).to_owned()));
    identity.user = Some(User { id: "7".into(), permissions, ..User::default() });
    let grant = capabilities::Grant { db: Grant::everything(), ..capabilities::Grant::default() };
    let needs = |table: &str| {
        let needs = Needs { read: Some(format!("{table}.r")), write: Some(format!("{table}.w")) };
        (table.to_owned(), needs)
    };
    let tables = ["a", "b", "audit", "watched", "shown", "joined", "docs", "docs_more", "parents", "children"];
    Access::new(Arc::new(identity), Arc::new(grant), Arc::new(Rules::new(tables.map(needs), [])))
}

/// Statements, and all that they use.
const USES: &[(&str, &str)] = &[
    ("SELECT 1", ""),
    ("SELECT * FROM a", "a (read)"),
    ("SELECT x FROM \"A\"", "a (read)"),
    ("SELECT count(*) FROM a", "a (read)"),
    ("SELECT 1 FROM a AS b", "a (read)"),
    ("SELECT EXISTS (SELECT 1 FROM a)", "a (read)"),
    ("SELECT rowid FROM a", "a (read)"),
    ("SELECT * FROM main.a, b", "a (read); b (read)"),
    ("SELECT count(*) FROM a JOIN b", "a (read); b (read)"),
    ("SELECT (SELECT max(y) FROM b)", "b (read)"),
    ("SELECT 1 FROM json_each('[1]') WHERE value IN (SELECT x FROM a)", "a (read)"),
    ("SELECT count(*) FROM json_each('[1]')", ""),
    ("WITH c AS (SELECT 1 AS x) SELECT count(*) FROM c", ""),
    ("WITH c AS (SELECT x FROM a) SELECT count(*) FROM c", "a (read)"),
    ("WITH c AS MATERIALIZED (SELECT 1 FROM a) SELECT 1", ""),
    ("VALUES ((SELECT x FROM a))", "a (read)"),
    ("SELECT x FROM a UNION SELECT y FROM b", "a (read); b (read)"),
    // Writing alone reads nothing.
    ("INSERT INTO a (x) VALUES (1)", "a (write)"),
    ("UPDATE a SET x = 1", "a (write)"),
    ("DELETE FROM audit", "audit (write)"),
    ("REPLACE INTO audit VALUES (1)", "audit (write)"),
    // Looking at what is written does.
    ("UPDATE a SET x = x", "a"),
    ("UPDATE a SET x = 1 WHERE id = 1", "a"),
    ("DELETE FROM audit WHERE what = 1", "audit"),
    ("INSERT INTO a (x) VALUES (1) RETURNING id", "a"),
    ("UPDATE a SET x = 1 RETURNING *", "a"),
    ("DELETE FROM audit RETURNING *", "audit"),
    ("DELETE FROM audit RETURNING 1", "audit"),
    ("INSERT INTO a VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET x = excluded.x", "a"),
    ("INSERT INTO audit SELECT x FROM a", "audit (write); a (read)"),
    ("UPDATE a SET x = (SELECT max(y) FROM b)", "a (write); b (read)"),
    ("UPDATE a SET x = b.y FROM b WHERE b.a = a.id", "a; b (read)"),
    ("DELETE FROM audit WHERE what IN (SELECT y FROM b)", "audit; b (read)"),
    // What foreign keys look up and delete along is the tables' own business.
    ("INSERT INTO children (parent) VALUES (1)", "children (write)"),
    ("INSERT INTO parents VALUES (2) RETURNING id", "parents"),
    ("DELETE FROM parents WHERE id = 1", "parents"),
    ("REPLACE INTO parents VALUES (1)", "parents"),
    ("DELETE FROM parents WHERE id IN (SELECT parent FROM children)", "parents; children"),
    // That it is named is seen from the letters alone.
    ("INSERT INTO children (parent) VALUES (1) /* parents */", "children (write); parents (read)"),
    // A view needs what it shows.
    ("SELECT * FROM shown", "shown (read); a (read)"),
    ("SELECT x FROM joined", "joined (read); shown (read); a (read); b (read)"),
    // A trigger does what its maker may.
    ("INSERT INTO watched VALUES (1)", "watched (write)"),
    ("INSERT INTO shown (x) VALUES (1)", "shown (write)"),
    // The tables beneath a full-text table are it.
    ("SELECT * FROM docs WHERE docs MATCH 'words'", "docs (read)"),
    ("SELECT * FROM docs_content", "docs (read)"),
    ("SELECT block FROM docs_more_data", "docs_more (read)"),
    ("INSERT INTO docs VALUES ('more')", "docs (write)"),
    ("DELETE FROM docs WHERE rowid = 1", "docs"),
];

fn modes(uses: &str) -> Vec<(&str, Mode)> {
    let both = |entry: &'static [Mode], name| entry.iter().map(move |mode| (name, *mode)).collect::<Vec<_>>();
    uses.split_terminator("; ")
        .flat_map(|entry| match entry.split_once(' ') {
            Some((name, "(read)")) => both(&[Mode::Read], name),
            Some((name, _)) => both(&[Mode::Write], name),
            None => both(&[Mode::Read, Mode::Write], entry),
        })
        .collect()
}

#[tokio::test]
async fn a_statement_needs_all_that_it_uses_and_no_more() {
    for (sql, uses) in USES {
        let db = Fixture::new().await;
        let used = modes(uses);
        let permission = |(table, mode): &(&str, Mode)| match mode {
            Mode::Read => format!("{table}.r"),
            Mode::Write => format!("{table}.w"),
        };
        let all: Vec<String> = used.iter().map(permission).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        // Refused first, so that nothing is there to remember, and last.
        for round in 0..2 {
            for missing in 0..all.len() {
                let mut held = all.clone();
                let missed = held.remove(missing);
                let failure = db.run(&user(&held), sql).await.expect_err(sql);
                assert_eq!(failure.name, "PermissionDenied", "{sql}: {failure:?}");
                assert!(failure.message.contains(&format!("`{missed}`")), "{round} {sql}: {failure:?}");
            }
            if !all.is_empty() {
                let failure = db.run(&granted(""), sql).await.expect_err(sql);
                assert!(failure.message.contains("not granted"), "{sql}: {failure:?}");
            }
            if round == 0 {
                db.run(&user(&all), sql).await.unwrap_or_else(|failure| panic!("{sql}: {failure:?}"));
            }
        }
        let db = Fixture::new().await;
        db.run(&granted(uses), sql).await.unwrap_or_else(|failure| panic!("{sql}: {failure:?}"));
    }
}

#[tokio::test]
async fn a_refused_statement_changes_nothing() {
    let db = Fixture::new().await;
    for sql in
        ["UPDATE a SET x = 9 RETURNING id", "DELETE FROM a RETURNING id", "INSERT INTO a (x) VALUES (9) RETURNING id"]
    {
        for _ in 0..2 {
            assert!(db.run(&granted("a (write)"), sql).await.is_err(), "{sql}");
        }
    }
    let statement = Statement::script("SELECT group_concat(x) FROM a".into(), vec![], &db.limits).unwrap();
    let left = db.db.run(&granted("a"), &db.limits, statement).await.unwrap();
    assert_eq!(format!("{:?}", left.values), r#"[Value::Text("one,two")]"#);
}

#[tokio::test]
async fn a_transaction_is_its_calls() {
    let db = Fixture::new().await;
    let transaction = db.db.begin(&granted("a (read)"), &db.limits).await.unwrap();
    let statement = |sql: &str| Statement::script(sql.to_owned(), vec![], &db.limits).unwrap();
    transaction.run(statement("SELECT * FROM a")).await.unwrap();
    assert_eq!(transaction.run(statement("DELETE FROM a")).await.unwrap_err().name, "PermissionDenied");
    assert_eq!(transaction.run(statement("SELECT * FROM b")).await.unwrap_err().name, "PermissionDenied");
    transaction.run(statement("SELECT * FROM a")).await.unwrap();
    transaction.end(true).await.unwrap();
}

/// More statements than are remembered, so that some are kept and some not.
#[tokio::test]
async fn nothing_is_forgotten_in_a_way_that_lets_somebody_in() {
    let db = Fixture::new().await;
    let statement = |n: usize| format!("SELECT x, {n} FROM a");
    for round in 0..2 {
        for n in 0..600 {
            db.run(&granted("a"), &statement(n)).await.unwrap();
            let before = statement(n.saturating_sub(round * 7));
            assert!(db.run(&granted("b"), &before).await.is_err(), "{before}");
        }
    }
}

/// A statement that is prepared anew each time costs three times as much.
#[tokio::test]
async fn what_is_kept_stays_prepared_and_is_checked_all_the_same() {
    let db = Fixture::new().await;
    let find = |id| Find {
        table: "a".into(),
        columns: vec![],
        filters: vec![Filter { column: "id".into(), operator: Operator::Eq, values: vec![Value::Integer(id)] }],
        order: vec![],
        limit: Some(id as u64),
        offset: None,
    };
    let deadline = Deadline::of(&db.limits, Limit::DbTimeout);
    let mut lease = db.db.pool("acme").unwrap().lease(false, deadline).await.unwrap();
    let connection = lease.connection().unwrap();
    for id in 1..4 {
        let statement = Prepared::new(Statement::find(find(id), &db.limits).unwrap(), &db.limits).unwrap();
        let mut run = |access| {
            connection.guarded(&access, &db.limits, deadline, &Arc::default(), |connection| {
                super::run::run(connection, &statement, &db.limits)
            })
        };
        run(granted("a")).unwrap();
        run(user(&["a.r"])).unwrap();
        assert!(run(user(&["a.w", "b.r"])).is_err() && run(granted("b; a (write)")).is_err());
        assert_eq!(connection.kept(), 1, "{id}");
    }
}

#[tokio::test]
async fn a_changed_schema_counts_at_once() {
    let db = Fixture::new().await;
    let (count, insert) = ("SELECT count(*) FROM c", "INSERT INTO watched VALUES (1)");
    let common = "WITH c AS (SELECT 1) SELECT count(*) FROM c";
    db.run(&granted(""), common).await.unwrap();
    db.run(&granted("watched (write)"), insert).await.unwrap();
    assert!(db.run(&granted(""), count).await.unwrap_err().message.contains("no such table"));
    db.db
        .provision(
            "acme",
            "CREATE TABLE c (x);
             CREATE TRIGGER more AFTER INSERT ON watched BEGIN INSERT INTO c SELECT y FROM b; END;
             DROP VIEW shown; CREATE VIEW shown AS SELECT y AS x FROM b;",
        )
        .await
        .unwrap();
    assert!(db.run(&granted(""), count).await.unwrap_err().message.contains("not granted"));
    db.run(&granted("c (read)"), count).await.unwrap();
    // A statement that was kept may be refused once, and is prepared anew then.
    let _ = db.run(&granted("watched (write)"), insert).await;
    db.run(&granted("watched (write)"), insert).await.unwrap();
    assert!(db.run(&granted("shown; a"), "SELECT x FROM shown").await.is_err());
    db.run(&granted("shown; b"), "SELECT x FROM shown").await.unwrap();
}

#[tokio::test]
async fn no_message_names_what_a_script_may_not_read() {
    let db = Fixture::new().await;
    let failure = db.run(&granted("docs"), "SELECT * FROM watche").await.unwrap_err();
    assert!(!failure.message.contains("watched"), "{failure:?}");
    let failure = db.run(&granted("watched"), "SELECT * FROM watche").await.unwrap_err();
    assert!(failure.message.contains("did you mean watched?"), "{failure:?}");
    let failure = db.run(&granted("docs"), "SELECT titel, wha FROM docs").await.unwrap_err();
    assert!(failure.message.contains("title"), "{failure:?}");
    let failure = db.run(&granted("docs"), "SELECT wha FROM docs").await.unwrap_err();
    assert!(!failure.message.contains("what"), "{failure:?}");
}

#[tokio::test]
async fn services_write_tables_that_refer_to_others() {
    let db = Fixture::new().await;
    let nobody = granted("");
    let row = |column: &str, number| vec![Assignment { column: column.into(), value: Value::Integer(number) }];
    let filter = |column: &str, number| {
        vec![Filter { column: column.into(), operator: Operator::Eq, values: vec![Value::Integer(number)] }]
    };
    for (table, statement) in [
        ("children", Statement::insert("children", row("parent", 1), &db.limits)),
        ("children", Statement::update("children", filter("parent", 1), row("parent", 1), true, &db.limits)),
        ("parents", Statement::insert("parents", row("id", 7), &db.limits)),
        ("parents", Statement::delete("parents", filter("id", 1), &db.limits)),
    ] {
        let (statement, needs) = (statement.unwrap(), Needs::default());
        let sql = Prepared::new(statement.clone(), &db.limits).unwrap().sql;
        let done = db.db.run(&nobody.of_service(table, &needs), &db.limits, statement).await;
        done.unwrap_or_else(|failure| panic!("{sql}: {failure:?}"));
        assert!(db.run(&nobody.of_service("a", &needs), &sql.replace('?', "1")).await.is_err(), "{sql}");
    }
}
