//! A script's look-ups on both databases, and what row-level security costs,
//! beside plain sqlx on the same server in the same run. Prints ratios; asserts
//! nothing, because a machine's noise is no failure. Needs the server that
//! `tests/with-postgres` starts.

#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use airlock::capabilities::db::postgres::token::Keys;
use airlock::capabilities::db::postgres::{Access, Table, protect};
use airlock::capabilities::grant::Operator;
use airlock::host::{self, Host, Run};
use airlock::runtime::limits::Limits;
use airlock::settings::{DatabaseSettings, Settings};
use airlock::tenant::quota::Quotas;
use airlock::tenant::{Execution, Identity, Script, Tenant};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use support::{bar, is_listing, median};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long each measurement runs, and a turn of two that are compared.
const TIME: Duration = Duration::from_secs(3);
const TURN: Duration = Duration::from_millis(500);
/// Look-ups at a time, by scripts as by sqlx: one after the other, as a script
/// awaits them, and as many as keep two cores busy.
const TASKS: [u64; 2] = [1, 8];
/// Rounds of each statement when two are compared, and of each script.
const ROUNDS: usize = 101;
const TURNS: usize = 9;
/// Look-ups of one call of the script.
const EACH: u64 = 500;

const FIND_ONE: &str = "db.findOne('clients', { id })";
/// The same look-up under the policy and with a WHERE in its place.
const POLICY: &str = "db.queryOne('SELECT * FROM clients WHERE id = ?', [id])";
const WHERE: &str = "db.queryOne('SELECT * FROM everyones WHERE tenant_id = ? AND id = ?', ['t3', id])";

/// A script that looks up one row after the other.
fn script(look_up: &str) -> String {
    format!(
        "async function main(count) {{
            for (let id = 1; id <= count; id++) {{
                const row = await {look_up};
                if (row.id !== id) throw new Error('another row');
            }}
        }}"
    )
}

/// 100,000 rows of ten tenants, each with the ids from 1 on.
const SHARED: &str = "
    CREATE TABLE clients (tenant_id text NOT NULL, id int NOT NULL, name text NOT NULL, email text, active boolean, PRIMARY KEY (tenant_id, id));
    INSERT INTO clients SELECT 't' || tenant, id, 'Client ' || id, 'c' || id || '@example.com', id % 3 = 0
        FROM generate_series(0, 9) AS tenant, generate_series(1, 10000) AS id;
    ANALYZE clients;";

/// The same rows in a table that tenants read all of: no policy hides any.
const EVERYONES: &str = "
    CREATE TABLE everyones (LIKE clients INCLUDING ALL);
    INSERT INTO everyones SELECT * FROM clients;
    ANALYZE everyones;";

const OWN: &str = "
    CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT, active BOOLEAN);
    WITH RECURSIVE ids (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 10000)
    INSERT INTO clients SELECT id, 'Client ' || id, 'c' || id || '@example.com', id % 3 = 0 FROM ids;";

/// Runs a script by so many tasks; answers look-ups a second.
async fn by_scripts(host: &Arc<Host>, look_up: &str, count: u64, time: Duration) -> Result<f64> {
    let program = host.compile("look-up.js", &script(look_up)).await?;
    let grant = Arc::new(host::grant(&program, Operator::Developer)?);
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..count {
        let (host, program, grant) = (host.clone(), program.clone(), grant.clone());
        tasks.push(tokio::spawn(async move {
            let mut done = 0;
            while began.elapsed() < time {
                let identity = Identity {
                    tenant: Tenant { id: "t3".into(), name: String::new() },
                    user: None,
                    script: Script { id: "b".into(), name: "b".into(), kind: "oneoff".into(), file: "b.js".into() },
                    execution: Execution { id: "b".into(), triggered_by: "api".into(), cause: None },
                };
                let run = Run { grant: grant.clone(), input: Some(EACH.to_string()), ..Run::new(identity) };
                let outcome = host.run(&program, run).await?;
                if let Some(error) = outcome.error {
                    return Err(error.message.into());
                }
                done += EACH;
            }
            Result::Ok(done)
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}

/// The same look-ups by sqlx alone: with a plain WHERE as the tables' owner, or with
/// keys under the policy, as the tenants' role.
async fn by_sqlx(url: &str, keys: Option<&Keys>, count: u64) -> Result<f64> {
    let done = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for _ in 0..count {
        let (url, keys, done, stop) = (url.to_owned(), keys.cloned(), done.clone(), stop.clone());
        tasks.push(tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await?;
            if let Some(keys) = &keys {
                enter(&mut connection, keys).await?;
            }
            while !stop.load(Ordering::Relaxed) {
                for id in 1..=EACH as i32 {
                    let look_up = if keys.is_some() {
                        sqlx::query("SELECT * FROM clients WHERE id = $1 LIMIT 1").bind(id)
                    } else {
                        sqlx::query("SELECT * FROM clients WHERE tenant_id = $1 AND id = $2 LIMIT 1")
                            .bind("t3")
                            .bind(id)
                    };
                    let row = look_up.fetch_one(&mut connection).await?;
                    assert_eq!(row.get::<i32, _>("id"), id);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
            Result::Ok(())
        }));
    }
    // The connections are open by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (before, began) = (done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(TIME).await;
    let rate = (done.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok(rate)
}

/// Has a connection of the tenants' role serve a tenant.
async fn enter(connection: &mut PgConnection, keys: &Keys) -> Result<()> {
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *connection).await?;
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
    let token = keys.sign("t3", pid, expires).ok_or("no key")?;
    sqlx::raw_sql(AssertSqlSafe(format!("SELECT airlock.enter('{token}')"))).execute(connection).await?;
    Ok(())
}

/// A statement, and the connection that it is measured on.
struct Asked<'a> {
    connection: &'a mut PgConnection,
    sql: &'static str,
}

impl Asked<'_> {
    async fn time(&mut self, times: u32) -> Result<Duration> {
        let began = Instant::now();
        for _ in 0..times {
            sqlx::query(self.sql).fetch_all(&mut *self.connection).await?;
        }
        Ok(began.elapsed() / times)
    }
}

/// How long two statements take, each the median of rounds that take turns, so
/// that what else the machine does meets both.
async fn compare(mut one: Asked<'_>, mut other: Asked<'_>, times: u32) -> Result<[Duration; 2]> {
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        rounds[0].push(one.time(times).await?);
        rounds[1].push(other.time(times).await?);
    }
    Ok(rounds.map(median))
}

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<()> {
    if is_listing() {
        return Ok(());
    }
    let data = tempfile::tempdir()?;
    let settings = |name: &str| Settings {
        data: data.path().join(name),
        quotas: Quotas { concurrent_calls: 64, ..Quotas::default() },
        limits: Limits::default(),
        ..Settings::default()
    };
    let cache = data.path().join("cache");

    let sqlite = Arc::new(Host::builder(settings("sqlite")).cache(cache.clone()).open().await?);
    sqlite.process().db.provision("t3", OWN).await?;

    let mut database = postgres::database(SHARED).await?;
    let mut admin = url::Url::parse(&std::env::var("AIRLOCK_TEST_POSTGRES")?)?;
    admin.set_path(url::Url::parse(&database.url)?.path());
    let everyones = Table { name: "everyones".into(), tenant_column: None, access: Access::Shared };
    database.protection.tables.push(everyones);
    let mut owner = PgConnection::connect(admin.as_str()).await?;
    sqlx::raw_sql(EVERYONES).execute(&mut owner).await?;
    protect::apply(&mut owner, &database.protection).await?;
    // A tenant has half of the connections at once: as many as sqlx alone has.
    let connections = 2 * TASKS[1] as usize;
    let shared =
        Settings { database: Some(DatabaseSettings { connections, ..database.clone() }), ..settings("postgres") };
    let shared = Arc::new(Host::builder(shared).cache(cache).open().await?);

    let mut ratios = Vec::new();
    println!("db.findOne by a script, look-ups a second   one at a time   {} at once", TASKS[1]);
    let [mut on_sqlite, mut on_postgres, mut bare, mut bare_bound] = [[0.0; 2]; 4];
    for (index, count) in TASKS.into_iter().enumerate() {
        on_sqlite[index] = by_scripts(&sqlite, FIND_ONE, count, TIME).await?;
        on_postgres[index] = by_scripts(&shared, FIND_ONE, count, TIME).await?;
        bare[index] = by_sqlx(admin.as_str(), None, count).await?;
        bare_bound[index] = by_sqlx(&database.url, Some(&database.protection.keys), count).await?;
        ratios.push(on_postgres[index] / bare[index]);
    }
    for (name, [one, many]) in [
        ("SQLite", on_sqlite),
        ("PostgreSQL", on_postgres),
        ("PostgreSQL, sqlx alone", bare),
        ("PostgreSQL, sqlx alone, under the policy", bare_bound),
    ] {
        println!("  {name:41} {one:13.0}   {many:9.0}");
    }

    // The policy, beside the same rows in a table without one: by statements of the
    // tenants' role, and by scripts.
    let mut plain = PgConnection::connect(&database.url).await?;
    let mut bound = PgConnection::connect(&database.url).await?;
    enter(&mut bound, &database.protection.keys).await?;
    let one = compare(
        Asked { connection: &mut plain, sql: "SELECT * FROM everyones WHERE tenant_id = 't3' AND id = 77" },
        Asked { connection: &mut bound, sql: "SELECT * FROM clients WHERE id = 77" },
        200,
    );
    let [one_plain, one_bound] = one.await?;
    let many = compare(
        Asked {
            connection: &mut plain,
            sql: "SELECT count(*), max(name) FROM everyones WHERE tenant_id = 't3' AND active",
        },
        Asked { connection: &mut bound, sql: "SELECT count(*), max(name) FROM clients WHERE active" },
        3,
    );
    let [many_plain, many_bound] = many.await?;
    let mut scripts = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        for (look_up, rates) in [WHERE, POLICY].into_iter().zip(&mut scripts) {
            rates.push(by_scripts(&shared, look_up, TASKS[1], TURN).await?);
        }
    }
    let [script_plain, script_bound] = scripts.map(|rates| Duration::from_secs_f64(1.0 / median(rates)));
    println!("\nwith a plain WHERE, and under the policy");
    println!("  by primary key                            {one_plain:9.1?} {one_bound:9.1?}");
    println!("  10,000 of 100,000 rows                    {many_plain:9.1?} {many_bound:9.1?}");
    println!("  by primary key, {} scripts                 {script_plain:9.1?} {script_bound:9.1?}", TASKS[1]);

    println!("\nratios");
    println!("  findOne on SQLite, a second               {}", bar(on_sqlite[1], 20_000.0, false));
    println!("  findOne on PostgreSQL / sqlx, one         {}", bar(ratios[0], 0.6, false));
    println!("  findOne on PostgreSQL / sqlx, {} at once   {}", TASKS[1], bar(ratios[1], 0.6, false));
    let ratio = |bound: Duration, plain: Duration| bound.as_secs_f64() / plain.as_secs_f64();
    println!("  policy by primary key / plain WHERE       {}", bar(ratio(one_bound, one_plain), 1.1, true));
    println!("  the same, by scripts                      {}", bar(ratio(script_bound, script_plain), 1.1, true));
    println!("  policy on 100,000 rows / plain WHERE      {}", bar(ratio(many_bound, many_plain), 1.1, true));
    Ok(())
}
