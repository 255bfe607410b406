//! Statements of a hostile script, on SQLite and on PostgreSQL.
//!
//! Each is run in two worlds that differ in globex's rows alone: one has some
//! that would be recognised, the other has none. What acme's script learns must
//! be the same in both, down to the errors. That covers what keys, constraints,
//! counts and estimates tell as well as rows.

use std::collections::BTreeSet;
use std::path::PathBuf;

use airlock::host::{Host, Run};
use airlock::runtime::limits::Limits;
use airlock::runtime::sandbox::Program;
use airlock::settings::Settings;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Mutex;
use url::Url;

use super::grammar::Grammar;
use super::{call, support};

const STATEMENTS: &str = include_str!("statements.sql");

const TABLES: &str = "
    CREATE TABLE clients (
        tenant_id text NOT NULL {default}, id integer NOT NULL, email text NOT NULL,
        balance bigint NOT NULL DEFAULT 0 CHECK (balance >= 0), PRIMARY KEY (tenant_id, id)
    );
    CREATE TABLE orders (
        tenant_id text NOT NULL {default}, id integer NOT NULL, client_id integer, note text,
        total bigint NOT NULL DEFAULT 0, PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id)
    );
";

const ACME: &str = "
    DELETE FROM orders WHERE tenant_id = 'acme' OR {own};
    DELETE FROM clients WHERE tenant_id = 'acme' OR {own};
    INSERT INTO clients VALUES ('acme', 1, 'ACME-ada', 100), ('acme', 2, 'ACME-bo', 200);
    INSERT INTO orders VALUES ('acme', 10, 1, 'ACME-first', 5), ('acme', 11, 2, 'ACME-second', 7);
";

/// A client of globex's, and one that nobody has.
const CLIENT: &str = "7001";
const NOBODY: &str = "9001";

/// One id is also acme's.
const GLOBEX: &str = "
    INSERT INTO clients VALUES ('globex', 1, 'GLOBEX-SECRET-one', 4711081500),
        ('globex', 7001, 'GLOBEX-SECRET-hank', 4711081508), ('globex', 7002, 'GLOBEX-SECRET-marge', 4711081509);
    INSERT INTO orders VALUES ('globex', 7101, 7001, 'GLOBEX-SECRET-laser', 4711081510),
        ('globex', 7102, 7002, 'GLOBEX-SECRET-doughnut', 4711081511);
";

/// Of which globex's rows are recognised, in small letters: the text, the same
/// reversed, in hexadecimal and in Base64, and the numbers.
const MARKERS: [&str; 5] =
    ["globex-secret", "terces-xebolg", "474c4f4245582d534543524554", "r0xpqkvylvnfq1jfv", "47110815"];

/// Runs each statement by itself, in a transaction that is undone, and, the last
/// of them, in one that is left open.
const SCRIPT: &str = "
    const plain = (key, value) => typeof value === 'bigint' ? String(value) : value;
    const undone = new Error('undone');

    async function tried(work) {
        try {
            const answer = await work();
            // In which order rows come is not promised.
            const sorted = (rows) => rows.map((row) => JSON.stringify(row, plain)).sort();
            if (Array.isArray(answer)) return sorted(answer);
            return JSON.stringify({ ...answer, rows: sorted(answer?.rows ?? []) }, plain);
        } catch (error) {
            console.error(error);
            return `${error.name}: ${error.message}`;
        }
    }

    async function inTransaction(sql) {
        const seen = [];
        await tried(() => db.transaction(async (tx) => {
            seen.push(await tried(() => tx.query(sql)), await tried(() => tx.query('SELECT * FROM clients')));
            throw undone;
        }));
        return seen;
    }

    async function main(statements) {
        const answers = [];
        for (const sql of statements) {
            answers.push([
                ...await inTransaction(sql),
                await tried(() => db.query(sql)),
                await tried(() => db.execute(sql)),
                await tried(() => db.query('SELECT * FROM clients')),
            ]);
        }
        return new Promise((resolve) => db.transaction(async (tx) => {
            answers.at(-1).push(await tried(() => tx.query(statements.at(-1))));
            resolve(answers);
            await new Promise(() => {});
        }));
    }

    async function harmless(statements) {
        const answers = [];
        for (const sql of statements) answers.push(await inTransaction(sql));
        return answers;
    }
";

/// What stands in the database, seen by who may see all of it.
enum Trusted {
    Sqlite(PathBuf),
    Postgres(Mutex<PgConnection>),
}

struct World {
    host: Host,
    program: Program,
    trusted: Trusted,
    data: tempfile::TempDir,
}

impl World {
    async fn sqlite(globex: &str) -> World {
        let data = tempfile::tempdir().unwrap();
        let settings = Settings { data: data.path().to_owned(), ..Settings::default() };
        let host = Host::builder(settings).cache(support::cache()).open().await.unwrap();
        for (tenant, rows) in [("acme", ""), ("globex", globex)] {
            let tables = TABLES.replace("{default}", &format!("DEFAULT '{tenant}'"));
            host.process().db.provision(tenant, &format!("{tables}{rows}")).await.unwrap();
        }
        let trusted = Trusted::Sqlite(data.path().join("tenants/globex.db"));
        World::new(host, trusted, data).await
    }

    async fn postgres(globex: &str) -> World {
        let data = tempfile::tempdir().unwrap();
        let schema = TABLES.replace("{default}", "") + globex;
        let database = support::postgres::database(&schema).await.unwrap();
        let mut admin = Url::parse(&database.url).unwrap();
        admin.set_username("postgres").unwrap();
        let trusted = Trusted::Postgres(Mutex::new(PgConnection::connect(admin.as_str()).await.unwrap()));
        let settings = Settings { data: data.path().to_owned(), database: Some(database), ..Settings::default() };
        let host = Host::builder(settings).cache(support::cache()).open().await.unwrap();
        World::new(host, trusted, data).await
    }

    async fn new(host: Host, trusted: Trusted, data: tempfile::TempDir) -> World {
        let program = host.compile("attack.js", SCRIPT).await.unwrap();
        World { host, program, trusted, data }
    }

    /// Gives acme its rows back.
    async fn restore(&self) {
        match &self.trusted {
            // The file is acme's, whatever a row says of its tenant.
            Trusted::Sqlite(_) => {
                self.host.process().db.provision("acme", &ACME.replace("{own}", "true")).await.unwrap();
            }
            Trusted::Postgres(admin) => {
                let sql = ACME.replace("{own}", "false");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *admin.lock().await).await.unwrap();
            }
        }
    }

    /// Globex's rows, and who has rows at all.
    async fn others(&self) -> Vec<String> {
        match &self.trusted {
            Trusted::Sqlite(file) => {
                let file =
                    rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
                let sql = "SELECT json_array(tenant_id, id, email, balance) FROM clients UNION ALL
                           SELECT json_array(tenant_id, id, client_id, note, total) FROM orders ORDER BY 1";
                let mut query = file.prepare(sql).unwrap();
                query.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            }
            Trusted::Postgres(admin) => {
                let sql = "SELECT to_jsonb(c)::text FROM clients c WHERE tenant_id <> 'acme' UNION ALL
                           SELECT to_jsonb(o)::text FROM orders o WHERE tenant_id <> 'acme' ORDER BY 1";
                sqlx::query_scalar(sql).fetch_all(&mut *admin.lock().await).await.unwrap()
            }
        }
    }

    /// All that a tenant's script, its error and its logs say, and the answers alone.
    async fn run(&self, tenant: &str, entry: &str, statements: &[String]) -> (String, Vec<Value>) {
        let folder = self.data.path().to_str().unwrap();
        let statements: Vec<String> = statements.iter().map(|sql| sql.replace("{folder}", folder)).collect();
        let limits = Limits { db_rows: 500, db_timeout: 2_000, ..Limits::default() };
        let run = Run { entry: Some(entry.to_owned()), limits: limits.into(), ..call(tenant, &json!(statements)) };
        let outcome = self.host.run(&self.program, run).await.unwrap();
        let all = serde_json::to_string(&outcome).unwrap().to_lowercase();
        let result = outcome.result.unwrap_or_else(|| panic!("{statements:#?}\n{:?}", outcome.error));
        (all, serde_json::from_str(&result.get().replace(folder, "{folder}")).unwrap())
    }

    /// The files of the data folder, but for those that SQLite makes beside its own.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        for folder in [self.data.path().to_owned(), self.data.path().join("tenants")] {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            files.extend(entries.map(|entry| entry.path()));
        }
        files.retain(|file| !file.to_string_lossy().ends_with("-wal") && !file.to_string_lossy().ends_with("-shm"));
        files
    }
}

fn tells(text: &str) -> Option<&'static str> {
    MARKERS.into_iter().find(|marker| text.contains(marker))
}

/// The two worlds.
struct Twins {
    with: World,
    without: World,
}

impl Twins {
    async fn sqlite() -> Twins {
        Twins { with: World::sqlite(GLOBEX).await, without: World::sqlite("").await }
    }

    async fn postgres() -> Twins {
        Twins { with: World::postgres(GLOBEX).await, without: World::postgres("").await }
    }

    /// Runs the batches one after another. Answers how many statements the
    /// database answered.
    async fn attack(&self, batches: &[Vec<String>]) -> usize {
        let Twins { with, without } = self;
        let (before, files) = (with.others().await, with.files());
        assert_eq!((before.len(), without.others().await.len()), (5, 0));
        let (globex, _) = with.run("globex", "harmless", &["SELECT * FROM clients".to_owned()]).await;
        assert!(tells(&globex).is_some(), "globex's own rows are recognised: {globex}");

        let mut wrong = Vec::new();
        let mut answered = 0;
        for batch in batches {
            tokio::join!(with.restore(), without.restore());
            // The connections have the statements prepared by globex already.
            tokio::join!(with.run("globex", "harmless", batch), without.run("globex", "harmless", batch));
            let ((all, seen), (_, expected)) =
                tokio::join!(with.run("acme", "main", batch), without.run("acme", "main", batch));
            if let Some(marker) = tells(&all) {
                wrong.push(format!("{batch:#?} told `{marker}`: {all}"));
            }
            assert_eq!((seen.len(), expected.len()), (batch.len(), batch.len()));
            for ((sql, seen), expected) in batch.iter().zip(&seen).zip(&expected) {
                if seen != expected {
                    wrong.push(format!("{sql}\n    answers {seen}\n    without globex {expected}"));
                }
                answered += usize::from(seen[0].is_array());
            }
            let after = with.others().await;
            if after != before {
                wrong.push(format!("{batch:#?} changed what is globex's: {after:#?}"));
                break;
            }
            let after = without.others().await;
            if !after.is_empty() {
                wrong.push(format!("{batch:#?} gave globex what it had not: {after:#?}"));
                break;
            }
        }
        assert_eq!(with.files(), files);
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        answered
    }
}

/// Each alone, so that what it leaves behind is known for its own.
fn listed() -> Vec<Vec<String>> {
    let lines = STATEMENTS.lines().filter(|line| !line.is_empty() && !line.starts_with("--"));
    lines.map(|line| vec![line.replace("{client}", CLIENT).replace("{nobody}", NOBODY)]).collect()
}

/// A thousand, always the same ones; `SEED` makes others.
fn random() -> Vec<Vec<String>> {
    let seed = std::env::var("SEED").map_or(20_240_517, |seed| seed.parse().expect("SEED is a number"));
    println!("SEED={seed}");
    let mut grammar = Grammar::new(seed);
    (0..50).map(|_| (0..20).map(|_| grammar.statement()).collect()).collect()
}

#[tokio::test]
async fn listed_statements_on_sqlite() {
    let answered = Twins::sqlite().await.attack(&listed()).await;
    assert!(answered > 100, "only {answered} were answered");
}

#[tokio::test]
async fn listed_statements_on_postgres() {
    let answered = Twins::postgres().await.attack(&listed()).await;
    assert!(answered > 100, "only {answered} were answered");
}

#[tokio::test]
async fn random_statements_on_sqlite() {
    let answered = Twins::sqlite().await.attack(&random()).await;
    assert!(answered > 500, "only {answered} were answered");
}

#[tokio::test]
async fn random_statements_on_postgres() {
    let answered = Twins::postgres().await.attack(&random()).await;
    assert!(answered > 500, "only {answered} were answered");
}
