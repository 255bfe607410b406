//! Events: none is lost, few are handled twice, all of it is in the history.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::json;
use sqlx::AssertSqlSafe;

use super::support::{Cluster, Dice, is_full, sized};

/// Two tenants, and one user of each that may do everything.
const SETTINGS: &str = r#"
[server]
access_log = false

[[tenants]]
id = "acme"
[[tenants]]
id = "globex"

[[users]]
id = "ann"
tenant = "acme"
token = "ann"
permissions = ["*"]

[[users]]
id = "gus"
tenant = "globex"
token = "gus"
permissions = ["*"]

[quotas]
events_per_minute = 0
"#;

/// Counts how often it was called for each event, and goes on for a while.
const COUNT: &str = "
    /** @airlock capabilities: storage */
    export default async (event) => {
        await storage.increment(`handled:${event.id}`);
        await new Promise((done) => setTimeout(done, 30));
    };";

fn settings(queue: &str, scripts: &str) -> String {
    format!("{SETTINGS}\n[queue]\n{queue}\n{scripts}")
}

/// Leases that end soon, so that the short form is short.
fn leases() -> &'static str {
    if is_full() { "" } else { "lease = '3s'\nheartbeat = '1s'\nsweep = '500ms'" }
}

async fn number(cluster: &Cluster, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut cluster.database().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_event_is_handled_while_hosts_are_killed() {
    const HOSTS: usize = 3;
    let (events, kills) = (sized(10_000, 500), sized(200, 10));
    let script = "[[scripts]]\nname = 'count'\nfile = 'count.js'\ntype = 'event'\n\
        grants.capabilities = ['storage']\nevent = { events = ['order.created'], attempts = 100 }\n";
    let cluster = Arc::new(Cluster::start(HOSTS, &settings(leases(), script), &[("count.js", COUNT)]).await);
    let mut dice = Dice::new(7);
    let begin = Instant::now();
    let mut killed = 0;
    let mut revived = Vec::new();
    for round in 0..kills {
        let publish = |number: usize| {
            let cluster = cluster.clone();
            async move {
                let event =
                    json!({ "name": "order.created", "data": { "number": number }, "dedup_key": number.to_string() });
                let (status, answer) = cluster.ask(number, "POST", "/api/events", "ann", &event).await;
                assert!(matches!(status, 200 | 202), "{status} {answer}");
            }
        };
        let numbers = round * events / kills..(round + 1) * events / kills;
        let some: Vec<_> = numbers.map(publish).collect();
        let publishing = tokio::spawn(stream::iter(some).buffer_unordered(16).collect::<Vec<()>>());
        // Somewhere in the middle of it.
        tokio::time::sleep(Duration::from_millis(dice.roll(300) as u64)).await;
        // One that runs: others may not be back yet.
        let first = dice.roll(HOSTS);
        for victim in (first..first + HOSTS).map(|host| host % HOSTS) {
            if cluster.kill(victim).await {
                killed += 1;
                let cluster = cluster.clone();
                revived.push(tokio::spawn(async move { cluster.revive(victim).await }));
                break;
            }
        }
        publishing.await.unwrap();
    }
    for host in revived {
        host.await.unwrap();
    }
    let published = begin.elapsed();
    cluster.until("jobs are left", "SELECT COUNT(*) FROM jobs", 0).await;

    let accepted = number(&cluster, "SELECT COUNT(*) FROM outbox").await;
    let handled = number(&cluster, "SELECT COUNT(*) FROM storage WHERE key LIKE 'handled:%'").await;
    let runs =
        number(&cluster, "SELECT CAST(SUM(CAST(value AS BIGINT)) AS BIGINT) FROM storage WHERE key LIKE 'handled:%'")
            .await;
    let lost = number(&cluster, "SELECT COUNT(*) FROM executions WHERE status = 'lost'").await;
    let completed = number(&cluster, "SELECT COUNT(*) FROM executions WHERE status = 'completed'").await;
    let attempts = number(&cluster, "SELECT COUNT(*) FROM executions WHERE job IS NOT NULL").await;
    let gaps = number(
        &cluster,
        "SELECT COUNT(*) FROM (SELECT job FROM executions WHERE job IS NOT NULL GROUP BY tenant, job
             HAVING COUNT(*) <> MAX(attempt) OR MIN(attempt) <> 1) AS gaps",
    )
    .await;
    let twice = runs - handled;
    println!(
        "events: {accepted} accepted, {handled} handled, {killed} kills of {HOSTS} hosts, {lost} runs in flight at \
         them, {twice} handled twice, {attempts} attempts on record, published in {:.1} s, all done in {:.1} s",
        published.as_secs_f64(),
        begin.elapsed().as_secs_f64(),
    );
    assert_eq!((accepted, handled, completed), (events as i64, events as i64, events as i64));
    assert!(killed > kills / 2, "{killed} kills");
    assert!(twice <= lost, "{twice} were handled twice, and only {lost} runs were in flight");
    assert_eq!((attempts, gaps), (events as i64 + lost, 0), "every attempt is in the history");
    for host in 0..HOSTS {
        assert!(cluster.terminate(host).await.is_some_and(|status| status.success()), "{}", cluster.log(host));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_host_had_begun_is_begun_again_in_time() {
    let script = "[[scripts]]\nname = 'slow'\nfile = 'slow.js'\ntype = 'event'\n\
        event = { events = ['order.created'], attempts = 3 }\n";
    let slow = "export default async (event) => {
        if (event.attempt === 1) await new Promise((done) => setTimeout(done, 25_000));
        return event.attempt;
    };";
    let cluster = Cluster::prepare(2, &settings(leases(), script), &[("slow.js", slow)]).await;
    cluster.revive(0).await;
    let (status, answer) = cluster.ask(0, "POST", "/api/events", "ann", &json!({ "name": "order.created" })).await;
    assert_eq!(status, 202, "{answer}");
    cluster.until("nothing runs", "SELECT COUNT(*) FROM jobs WHERE state = 'running'", 1).await;
    cluster.revive(1).await;
    assert!(cluster.kill(0).await);
    let begin = Instant::now();
    cluster
        .until("it is not done", "SELECT COUNT(*) FROM executions WHERE status = 'completed' AND attempt = 2", 1)
        .await;
    let took = begin.elapsed();
    let bound = if is_full() { Duration::from_secs(35) } else { Duration::from_millis(3500) };
    println!("redelivery: after {:.1} s of at most {:.1} s", took.as_secs_f64(), bound.as_secs_f64());
    // The second is for a machine on which everything else runs as well.
    assert!(took <= bound + Duration::from_secs(if is_full() { 0 } else { 2 }), "{took:?}");
    assert_eq!(number(&cluster, "SELECT COUNT(*) FROM executions WHERE status = 'lost' AND attempt = 1").await, 1);
}

/// Counts what the host tells.
const TOLD: &str = "
    /** @airlock capabilities: storage */
    export default async (event) => storage.increment(`told:${event.name}`);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_events_delay_no_other_tenant() {
    let (poison, orders) = (sized(1_000, 100), sized(200, 30));
    let script = "[[scripts]]\nname = 'poisoned'\nfile = 'poisoned.js'\ntype = 'event'\ntenants = ['acme']\n\
        event = { events = ['poison'], attempts = 3 }\n\
        [[scripts]]\nname = 'told'\nfile = 'told.js'\ntype = 'event'\ntenants = ['acme']\n\
        grants.capabilities = ['storage']\nevent = { events = ['job.dead', 'execution.failed'] }\n\
        [[scripts]]\nname = 'sound'\nfile = 'sound.js'\ntype = 'event'\ntenants = ['globex']\n\
        event = { events = ['order.created'] }\n";
    let files = [
        ("poisoned.js", "export default () => { throw new Error('poison'); };"),
        ("told.js", TOLD),
        ("sound.js", "export default (event) => event.data;"),
    ];
    let cluster = Arc::new(Cluster::start(2, &settings("backoff = '200ms'\nmax_backoff = '1s'", script), &files).await);
    let publish = |token: &'static str, name: &'static str, number: usize| {
        let cluster = cluster.clone();
        async move {
            let event = json!({ "name": name, "data": number });
            let (status, answer) = cluster.ask(number, "POST", "/api/events", token, &event).await;
            assert_eq!(status, 202, "{answer}");
        }
    };
    let poisoning: Vec<_> = (0..poison).map(|number| publish("ann", "poison", number)).collect();
    let poisoning = tokio::spawn(stream::iter(poisoning).buffer_unordered(8).collect::<Vec<()>>());
    for number in 0..orders {
        publish("gus", "order.created", number).await;
    }
    poisoning.await.unwrap();
    cluster.until("not all are dead letters", "SELECT COUNT(*) FROM jobs WHERE state = 'dead'", poison as i64).await;
    cluster.until("jobs are left", "SELECT COUNT(*) FROM jobs WHERE state <> 'dead'", 0).await;

    let mut waits: Vec<i64> = sqlx::query_scalar(
        "SELECT e.ended_at - o.created_at FROM executions e JOIN outbox o ON o.tenant = e.tenant AND o.id = e.cause
         WHERE e.tenant = 'globex'",
    )
    .fetch_all(&mut cluster.database().await)
    .await
    .unwrap();
    waits.sort_unstable();
    let attempts =
        number(&cluster, "SELECT COUNT(*) FROM executions WHERE tenant = 'acme' AND status = 'failed'").await;
    let (middle, last) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    println!(
        "poison: {poison} events became dead letters after {attempts} attempts; {orders} events of another tenant were \
         handled within {middle} ms in the median and {last} ms at p99"
    );
    assert_eq!(attempts, 3 * poison as i64);
    assert_eq!(waits.len(), orders);
    let told = |name: &str| format!("SELECT CAST(value AS BIGINT) FROM storage WHERE key = 'told:{name}'");
    assert_eq!(number(&cluster, &told("job.dead")).await, poison as i64);
    assert_eq!(number(&cluster, &told("execution.failed")).await, attempts);
    assert!(last < if is_full() { 1_000 } else { 5_000 }, "{last} ms");
}
