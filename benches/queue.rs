//! Events through the queue to a handler that does one storage write, on SQLite
//! and on PostgreSQL, beside queues of npm on the same PostgreSQL in the same run.
//! Prints rates; asserts nothing, because a machine's noise is no failure. Needs
//! the server that `tests/with-postgres` starts, with AIRLOCK_TEST_DURABLE set for
//! a server that writes to the disk as it does by default, and the peers that
//! `npm ci` installs.

#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use airlock::host::Host;
use airlock::queue::{Filter, NewJob, Trigger, Workers};
use airlock::settings::Settings;
use support::bar;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const EVENTS: usize = 20_000;
/// Events that are put in with one statement, by the peers too.
const BATCH: usize = 100;
const ROUNDS: usize = 3;
const TENANT: &str = "bench";

const HANDLER: &str = "// @airlock storage: *
export default async (event) => { await storage.set('event:' + event.n, event); };";

/// A host with the handler. `store` is a setting.
async fn host(place: &Path, name: &str, store: &str) -> Result<Arc<Host>> {
    let folder = place.join(name);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("handle.js"), HANDLER)?;
    let settings = format!(
        "data = \"data\"\n{store}\n[queue]\nconcurrency = 128\n[quotas]\nconcurrent_calls = 64\n\
         [[tenants]]\nid = \"{TENANT}\"\n\
         [[scripts]]\nname = \"handle\"\ntype = \"event\"\nfile = \"handle.js\"\ngrants = {{ storage = [\"*\"] }}\n"
    );
    let file = folder.join("airlock.toml");
    std::fs::write(&file, settings)?;
    let settings = Settings::load(Some(&file), |_| None).map_err(|error| error.to_string())?;
    let mut host = Host::builder(settings).cache(place.join("cache")).open().await?;
    if let Some((name, error)) = host.load_scripts().await.into_iter().next() {
        return Err(format!("{name}: {error}").into());
    }
    Ok(Arc::new(host))
}

/// Events a second, from the first one that is put in to the last that is handled.
async fn rate(host: &Arc<Host>) -> Result<f64> {
    let workers = Workers::start(host.clone());
    let account = host.process().quotas.account(TENANT);
    let began = Instant::now();
    for first in (0..EVENTS).step_by(BATCH) {
        let event = |n: usize| NewJob {
            input: Some(format!("{{\"n\":{n},\"total\":25}}")),
            attempts: 5,
            ..NewJob::new("handle", Trigger::Event)
        };
        host.queue().add(account.clone(), (first..first + BATCH).map(event).collect()).await?;
    }
    while !host.queue().list(TENANT, Filter::default(), None, 1).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rate = EVENTS as f64 / began.elapsed().as_secs_f64();
    workers.stop(Duration::from_secs(10)).await;
    Ok(rate)
}

fn peer(queue: &str, url: &str) -> Result<f64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let events = EVENTS.to_string();
    let output = Command::new("node")
        .current_dir(folder)
        .args(["queues.mjs", "--queue", queue, "--url", url, "--events", &events])
        .output()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{queue}: {}", String::from_utf8_lossy(&output.stderr)))?;
    answer["rate"].as_f64().ok_or_else(|| format!("{queue} has no rate").into())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[tokio::main]
async fn main() -> Result<()> {
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let (mut sqlite, mut postgres, mut boss, mut graphile) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        sqlite.push(rate(&host(place.path(), &format!("sqlite-{round}"), "").await?).await?);
        let url = postgres::empty().await?;
        let store = format!("[store]\nurl = {:?}", url.as_str());
        postgres.push(rate(&host(place.path(), &format!("postgres-{round}"), &store).await?).await?);
        boss.push(peer("pg-boss", postgres::empty().await?.as_str())?);
        graphile.push(peer("graphile-worker", postgres::empty().await?.as_str())?);
    }
    println!("events a second, medians of {ROUNDS} rounds of {EVENTS}");
    let measured = [
        ("Airlock on SQLite", median(sqlite)),
        ("Airlock on PostgreSQL", median(postgres)),
        ("pg-boss", median(boss)),
        ("graphile-worker", median(graphile)),
    ];
    for (name, rate) in measured {
        println!("  {name:24} {rate:9.0}");
    }
    let [(_, sqlite), (_, postgres), (_, boss), (_, graphile)] = measured;
    println!("\nratios");
    println!("  on SQLite, a second       {}", bar(sqlite, 3_000.0, false));
    println!("  on PostgreSQL, a second   {}", bar(postgres, 1_000.0, false));
    println!("  PostgreSQL / faster peer  {}", bar(postgres / boss.max(graphile), 1.5, false));
    Ok(())
}
