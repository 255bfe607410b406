//! Events, from publishing to a handler that does one storage write, on SQLite and
//! on PostgreSQL; and jobs alone, put in as the queues of npm that are measured
//! beside them on the same PostgreSQL in the same run. Prints rates; asserts nothing, because a machine's noise is no failure. Needs
//! the server that `tests/with-postgres` starts, with AIRLOCK_TEST_DURABLE set for
//! a server that writes to the disk as it does by default, and the peers that
//! `npm install` installs.

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
use airlock::runtime::limits::Limits;
use airlock::settings::Settings;
use airlock::tenant::User;
use airlock::triggers::events::{New, Publisher};
use futures_util::future::join_all;
use support::{bar, is_listing, median};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const EVENTS: usize = 20_000;
/// What is put in at a time, by the peers too.
const BATCH: usize = 100;
/// Handlers at once. What they wait for is written together: with 64, all of the
/// queues were slower by a fifth at least.
const AT_ONCE: usize = 256;
const ROUNDS: usize = 3;
const TENANT: &str = "bench";
const NAMES: [&str; 6] =
    ["events on SQLite", "events on PostgreSQL", "jobs on SQLite", "jobs on PostgreSQL", "pg-boss", "graphile-worker"];

const HANDLER: &str = "// @airlock capabilities: storage
export default async (event) => { await storage.set('event:' + event.id, event); };";

/// A host with the handler. `store` is a setting.
async fn host(place: &Path, name: &str, store: &str) -> Result<Arc<Host>> {
    let folder = place.join(name);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("handle.js"), HANDLER)?;
    let settings = format!(
        "data = \"data\"\n{store}\n[sandboxes]\ncount = {AT_ONCE}\n[queue]\nconcurrency = {}\n[quotas]\nconcurrent_calls = {AT_ONCE}\nevents_per_minute = 0\n\
         [[tenants]]\nid = \"{TENANT}\"\n\
         [[scripts]]\nname = \"handle\"\ntype = \"event\"\nevent = {{ events = [\"order.created\"] }}\nfile = \"handle.js\"\ngrants = {{ capabilities = [\"storage\"] }}\n",
        // Calls that are over are in hand until that is written.
        2 * AT_ONCE
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

/// How work is put in.
#[derive(Clone, Copy)]
enum By {
    /// Published by as many at a time as a batch has, each answered once it is
    /// durable.
    Events,
    /// A batch with one write.
    Jobs,
}

/// How many a second, from the first one that is put in to the last that is handled.
async fn rate(host: &Arc<Host>, by: By) -> Result<f64> {
    let workers = Workers::start(host.clone());
    let account = host.process().quotas.account(TENANT);
    let limits = Limits::default();
    let publisher = Publisher::api(&User { id: "bench".into(), ..User::default() }, "bench");
    let began = Instant::now();
    for first in (0..EVENTS).step_by(BATCH) {
        let batch = first..first + BATCH;
        match by {
            By::Events => {
                let publish = batch.map(|n| {
                    let new = New {
                        name: "order.created".into(),
                        data: format!("{{\"n\":{n},\"total\":25}}"),
                        ..New::default()
                    };
                    host.process().events.publish(TENANT, &limits, &account, publisher.clone(), new)
                });
                for published in join_all(publish).await {
                    published?;
                }
            }
            By::Jobs => {
                let job = |n: usize| NewJob {
                    input: Some(format!("{{\"id\":{n},\"total\":25}}")),
                    attempts: 5,
                    ..NewJob::new("handle", Trigger::Event)
                };
                host.queue().add(account.clone(), batch.map(job).collect()).await?;
            }
        }
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
    let (events, at_once) = (EVENTS.to_string(), AT_ONCE.to_string());
    let output = Command::new("node")
        .current_dir(folder)
        .args(["queues.mjs", "--queue", queue, "--url", url, "--events", &events, "--at-once", &at_once])
        .output()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{queue}: {}", String::from_utf8_lossy(&output.stderr)))?;
    answer["rate"].as_f64().ok_or_else(|| format!("{queue} has no rate").into())
}

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<()> {
    if is_listing() {
        return Ok(());
    }
    // One that is named is measured alone, once, to be looked at.
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let rounds = if named.is_some() { 1 } else { ROUNDS };
    let wanted = |name: &str| named.as_ref().is_none_or(|named| name == named);
    let place = tempfile::tempdir()?;
    let mut rates = NAMES.map(|name| (name, Vec::new()));
    for round in 0..rounds {
        for (at, (name, measured)) in rates.iter_mut().enumerate().filter(|(_, (name, _))| wanted(name)) {
            let folder = format!("{at}-{round}");
            let by = if at < 2 { By::Events } else { By::Jobs };
            measured.push(match at {
                0 | 2 => rate(&host(place.path(), &folder, "").await?, by).await?,
                1 | 3 => {
                    let store = format!("[store]\nurl = {:?}", postgres::empty().await?.as_str());
                    rate(&host(place.path(), &folder, &store).await?, by).await?
                }
                _ => peer(name, postgres::empty().await?.as_str())?,
            });
        }
    }
    println!("a second, medians of {rounds} rounds of {EVENTS}");
    let rates = rates.map(|(name, rates)| {
        let rate = median(rates);
        if rate > 0.0 {
            println!("  {name:28} {rate:9.0}");
        }
        rate
    });
    if named.is_some() {
        return Ok(());
    }
    let [sqlite, postgres, _, jobs, boss, graphile] = rates;
    println!("\nratios");
    println!("  events on SQLite, a second      {}", bar(sqlite, 3_000.0, false));
    println!("  events on PostgreSQL, a second  {}", bar(postgres, 1_000.0, false));
    println!("  jobs on PostgreSQL / peer       {}", bar(jobs / boss.max(graphile), 1.5, false));
    Ok(())
}
