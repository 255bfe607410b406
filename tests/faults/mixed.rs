//! Mixed load while hosts are killed and stopped: what was acknowledged is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::shared::postgres;
use super::support::{Cluster, Dice, sized};

const SETTINGS: &str = r#"
[server]
access_log = false

[quotas]
events_per_minute = 0
tokens = 1_000_000
scripts = 1_000_000
script_bytes = "10GiB"
storage_keys = 10_000_000
storage_bytes = "10GiB"
idempotent_requests = 10_000_000
idempotent_bytes = "10GiB"

[[users]]
id = "ann"
tenant = "acme"
token = "ann"
permissions = ["*"]

[[scripts]]
name = "write"
file = "write.js"
grants.capabilities = ["storage"]
grants.tables = ["orders"]

[[scripts]]
name = "missing"
file = "missing.js"
grants.capabilities = ["storage"]
grants.tables = ["orders"]

[[tenants]]
id = "acme"
"#;

const SCHEMA: &str = "CREATE TABLE orders (id TEXT PRIMARY KEY, note TEXT NOT NULL);";
const POSTGRES_SCHEMA: &str = "
    CREATE TABLE orders (tenant_id TEXT, id TEXT, note TEXT NOT NULL, PRIMARY KEY (tenant_id, id));";

/// May be done twice: nobody knows what a host that was killed had done.
const WRITE: &str = "export default async ({ kind, key }) => {
    if (kind === 'storage') await storage.set(key, { key });
    else await db.execute('INSERT INTO orders (id, note) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING', [key, key]);
};";

/// Which of some keys are not there, or hold something else.
const MISSING: &str = "export default async ({ kind, keys }) => {
    const read = async (key) => kind === 'storage' ? (await storage.get(key))?.key : (await db.findOne('orders', { id: key }))?.note;
    const missing = [];
    for (const key of keys) if (await read(key) !== key) missing.push(key);
    return missing;
};";

/// Keys that one call looks for.
const KEYS: usize = 200;
/// Who write at once.
const WRITERS: usize = 6;

/// What somebody was told is done.
#[derive(Default)]
struct Acknowledged {
    /// By the kind: keys of the storage, and ids of rows.
    written: HashMap<&'static str, Vec<String>>,
    /// The message of each version that was saved, by its number.
    versions: HashMap<i64, String>,
    /// Texts of tokens.
    tokens: Vec<String>,
    /// Ids.
    events: Vec<String>,
    /// Ids of scripts, by their names.
    scripts: HashMap<String, String>,
}

impl Acknowledged {
    fn add(&mut self, other: Acknowledged) {
        for (kind, keys) in other.written {
            self.written.entry(kind).or_default().extend(keys);
        }
        self.versions.extend(other.versions);
        self.tokens.extend(other.tokens);
        self.events.extend(other.events);
        self.scripts.extend(other.scripts);
    }
}

/// Asks until the answer is one of those that say that it is done.
async fn done(cluster: &Cluster, first: usize, path: &str, key: &str, body: &Value, wanted: &[u16]) -> Value {
    loop {
        let (status, answer) = cluster.ask_with(first, "POST", path, "ann", body, key).await;
        if wanted.contains(&status) {
            return answer;
        }
        // Another compiles, or a host that was killed is believed to be at it still.
        assert!(status == 429 || answer["code"] == "idempotency_in_progress", "{path}: {status} {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is written.
const KINDS: [&str; 6] = ["storage", "row", "version", "token", "event", "script"];

async fn write(cluster: &Cluster, writer: usize, stop: &AtomicBool) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    let mut dice = Dice::new(writer as u64);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let key = format!("{writer}-{number}");
        match KINDS[dice.roll(KINDS.len())] {
            "version" => {
                let source = format!("export default () => '{key}'");
                let body = json!({ "source": source, "message": key });
                let saved = done(cluster, writer, "/api/scripts/versioned/versions", "", &body, &[200, 201]).await;
                // The same source is the same version, whoever saved it last.
                if saved["message"] == key.as_str() {
                    acknowledged.versions.insert(saved["number"].as_i64().unwrap(), key);
                }
            }
            "token" => {
                let body = json!({ "name": key, "scopes": ["Script.Read"] });
                let made = done(cluster, writer, "/api/tokens", "", &body, &[201]).await;
                acknowledged.tokens.push(made["token"].as_str().unwrap().to_owned());
            }
            "event" => {
                let body = json!({ "name": "order.created", "data": key, "dedup_key": key });
                let published = done(cluster, writer, "/api/events", "", &body, &[200, 202]).await;
                acknowledged.events.push(published["id"].as_str().unwrap().to_owned());
            }
            "script" => {
                let body = json!({ "name": key, "type": "embedded" });
                let begin = Instant::now();
                // Sent once: where the host was killed, another may believe it to be at it for a minute.
                let (status, made) = cluster.ask_with(writer, "POST", "/api/scripts", "ann", &body, &key).await;
                match status {
                    201 => {
                        acknowledged.scripts.insert(key, made["id"].as_str().unwrap().to_owned());
                    }
                    _ => assert_eq!(made["code"], "idempotency_in_progress", "{status} {made} {:?}", begin.elapsed()),
                }
            }
            kind => {
                let body = json!({ "kind": kind, "key": key });
                done(cluster, writer, "/api/scripts/write/invoke", "", &body, &[200]).await;
                acknowledged.written.entry(kind).or_default().push(key);
            }
        }
    }
    acknowledged
}

/// All that a list has.
async fn list(cluster: &Cluster, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let (status, mut slice) = cluster.ask(0, "GET", &format!("{path}?limit=200{after}"), "ann", &Value::Null).await;
        assert_eq!(status, 200, "{path}: {slice}");
        items.extend(slice["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        match slice["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
    }
}

/// Looks for all of it.
async fn verify(cluster: &Cluster, acknowledged: &Acknowledged) {
    for (kind, keys) in &acknowledged.written {
        for keys in keys.chunks(KEYS) {
            let body = json!({ "kind": kind, "keys": keys });
            let missing = done(cluster, 0, "/api/scripts/missing/invoke", "", &body, &[200]).await;
            assert_eq!(missing, json!([]), "{kind}: acknowledged, and not there");
        }
    }
    let versions: HashMap<i64, String> = list(cluster, "/api/scripts/versioned/versions")
        .await
        .into_iter()
        .map(|version| (version["number"].as_i64().unwrap(), version["message"].as_str().unwrap().to_owned()))
        .collect();
    for (number, message) in &acknowledged.versions {
        assert_eq!(versions.get(number), Some(message), "version {number}");
    }
    for token in &acknowledged.tokens {
        let (status, me) = cluster.ask(0, "GET", "/api/me", token, &Value::Null).await;
        assert_eq!((status, &me["user"]), (200, &json!("ann")), "{me}");
    }
    for id in &acknowledged.events {
        let (status, event) = cluster.ask(0, "GET", &format!("/api/events/{id}"), "ann", &Value::Null).await;
        assert_eq!(status, 200, "the event {id}: {event}");
    }
    let scripts: HashMap<String, String> = list(cluster, "/api/scripts")
        .await
        .into_iter()
        .map(|script| (script["name"].as_str().unwrap().to_owned(), script["id"].as_str().unwrap().to_owned()))
        .collect();
    for (name, id) in &acknowledged.scripts {
        assert_eq!(scripts.get(name), Some(id), "the script {name}");
    }
}

async fn nothing_acknowledged_is_lost(name: &str, cluster: Cluster, hosts: usize) {
    let cluster = Arc::new(cluster);
    let body = json!({ "name": "versioned", "type": "embedded" });
    done(&cluster, 0, "/api/scripts", "", &body, &[201]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (cluster, stop) = (cluster.clone(), stop.clone());
            tokio::spawn(async move { write(&cluster, writer, &stop).await })
        })
        .collect();
    let (killed, stopped) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begin = Instant::now();
    let time = Duration::from_secs(sized(300, 8) as u64);
    let mut dice = Dice::new(11);
    while begin.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(200 + dice.roll(1000) as u64)).await;
        let victim = dice.roll(hosts);
        if dice.roll(3) > 0 {
            assert!(cluster.kill(victim).await);
            killed.fetch_add(1, Ordering::Relaxed);
        } else {
            let ended = cluster.terminate(victim).await;
            assert!(ended.is_some_and(|status| status.success()), "{ended:?}: {}", cluster.log(victim));
            stopped.fetch_add(1, Ordering::Relaxed);
        }
        cluster.revive(victim).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Acknowledged::default();
    for writer in writers {
        acknowledged.add(writer.await.unwrap());
    }
    assert_eq!(cluster.fallen(), Vec::<String>::new());
    verify(&cluster, &acknowledged).await;
    let Acknowledged { written, versions, tokens, events, scripts } = &acknowledged;
    let of = |kind: &str| written.get(kind).map_or(0, Vec::len);
    println!(
        "mixed load on {name}: {} values, {} rows, {} versions, {} tokens, {} events and {} scripts acknowledged in \
         {:.0} s with {} SIGKILL and {} SIGTERM, none lost",
        of("storage"),
        of("row"),
        versions.len(),
        tokens.len(),
        events.len(),
        scripts.len(),
        begin.elapsed().as_secs_f64(),
        killed.into_inner(),
        stopped.into_inner(),
    );
    let numbers = [of("storage"), of("row"), versions.len(), tokens.len(), events.len(), scripts.len()];
    assert!(numbers.iter().all(|number| *number > 0), "there was load: {numbers:?}");
}

const FILES: &[(&str, &str)] = &[("write.js", WRITE), ("missing.js", MISSING), ("schema.sql", SCHEMA)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_host_on_sqlite_loses_nothing_that_it_acknowledged() {
    let settings = format!("{SETTINGS}schema = 'schema.sql'");
    let cluster = Cluster::alone(&settings, FILES).await;
    nothing_acknowledged_is_lost("SQLite", cluster, 1).await;
}

/// The hosts' own data is in one database, the tenants' tables in another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_on_postgres_lose_nothing_that_they_acknowledged() {
    let tables = postgres::database(POSTGRES_SCHEMA).await.unwrap();
    let settings = format!(
        "{SETTINGS}
        [database]
        url = '{}'
        token_keys = [{{ id = 'k1', key = '{}' }}]
        [[database.tables]]
        name = 'orders'",
        tables.url,
        "07".repeat(32),
    );
    let cluster = Cluster::start(2, &settings, FILES).await;
    nothing_acknowledged_is_lost("PostgreSQL", cluster, 2).await;
}
