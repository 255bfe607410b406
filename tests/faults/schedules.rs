//! Schedules: each tick is settled once, and in time.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;

use super::support::{Cluster, Dice, is_full, sized};

const HOSTS: usize = 3;
const MINUTE: i64 = 60_000;

/// One schedule for each of so many tenants.
fn settings(tenants: usize, queue: &str) -> String {
    let tenants: String = (0..tenants).map(|tenant| format!("[[tenants]]\nid = 't-{tenant}'\n")).collect();
    format!(
        "[server]\naccess_log = false\n[queue]\n{queue}\n{tenants}\n[[scripts]]\nname = 'timed'\nfile = 'timed.js'\n\
         type = 'cron'\ncron = {{ schedule = '* * * * *', overlap = 'allow', catch_up = 'all' }}\n"
    )
}

const TIMED: &str = "export default ({ scheduledAt }) => scheduledAt;";

async fn number(cluster: &Cluster, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut cluster.database().await).await.unwrap()
}

/// Hosts are killed while they settle the ticks of minutes that they are made to
/// believe they have missed. They run nothing, so each job stays to be counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tick_is_settled_once_while_hosts_are_killed() {
    let (schedules, rounds, minutes) = (sized(1_000, 100), sized(40, 8), sized(5, 5) as i64);
    let cluster = Cluster::start(HOSTS, &settings(schedules, "concurrency = 0"), &[("timed.js", TIMED)]).await;
    cluster.until("schedules are not noted", "SELECT COUNT(*) FROM schedules", schedules as i64).await;
    let (mut dice, mut killed, begin) = (Dice::new(11), 0, Instant::now());
    // Before the first tick of the program's own time.
    let first = number(&cluster, "SELECT MIN(next_at) FROM schedules").await - MINUTE;
    for round in 1..=rounds as i64 {
        let from = first - round * minutes * MINUTE;
        // Not while a host is about to write how far they are.
        let back = format!(
            "BEGIN; LOCK TABLE schedules IN ACCESS EXCLUSIVE MODE;
             UPDATE schedules SET settled_to = {from}, next_at = {from} + {MINUTE}; COMMIT"
        );
        sqlx::raw_sql(AssertSqlSafe(back)).execute(&mut cluster.database().await).await.unwrap();
        // Somewhere in the middle of it.
        tokio::time::sleep(Duration::from_millis(dice.roll(800) as u64)).await;
        let victim = dice.roll(HOSTS);
        killed += usize::from(cluster.kill(victim).await);
        cluster.revive(victim).await;
        let left = format!("SELECT COUNT(*) FROM schedules WHERE settled_to < {first}");
        cluster.until("schedules are behind", &left, 0).await;
    }
    let past = format!("FROM ticks WHERE tick <= {first}");
    let ticks = number(&cluster, &format!("SELECT COUNT(*) {past}")).await;
    let keys =
        number(&cluster, &format!("SELECT COUNT(*) FROM (SELECT DISTINCT tenant, script, tick {past}) AS keys")).await;
    let runs = number(&cluster, "SELECT COUNT(*) FROM ticks WHERE job IS NOT NULL").await;
    let jobs = number(&cluster, "SELECT COUNT(*) FROM jobs").await;
    let lost = "SELECT COUNT(*) FROM ticks t WHERE job IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.tenant = t.tenant AND j.id = t.job)";
    let lost = number(&cluster, lost).await;
    println!(
        "schedules: {schedules} on {HOSTS} hosts, {killed} kills, {ticks} ticks settled, {} twice, {jobs} jobs for {runs} \
         runs, {lost} ticks without theirs, in {:.1} s",
        ticks - keys,
        begin.elapsed().as_secs_f64(),
    );
    assert_eq!(ticks, schedules as i64 * rounds as i64 * minutes, "one row for each schedule and tick");
    assert_eq!((keys, jobs, lost), (ticks, runs, 0));
    assert_eq!(killed, rounds);
}

/// How late ticks are queued, and begin to run, where nothing fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_come_in_time() {
    let (schedules, minutes) = (sized(1_000, 100) as i64, sized(3, 1) as i64);
    let cluster = Cluster::start(HOSTS, &settings(schedules as usize, ""), &[("timed.js", TIMED)]).await;
    cluster.until("schedules are not noted", "SELECT COUNT(*) FROM schedules", schedules).await;
    // Those that came while hosts were starting are not everybody's.
    let noted = number(&cluster, "SELECT MAX(settled_to) FROM schedules").await;
    for minute in 1..=minutes {
        let ran = format!(
            "SELECT COUNT(*) FROM ticks t JOIN executions e ON e.tenant = t.tenant AND e.job = t.job
             WHERE t.tick > {noted} AND t.tick <= {noted} + {minute} * {MINUTE} AND e.status = 'completed'"
        );
        cluster.until("ticks are left", &ran, minute * schedules).await;
    }
    let late = format!("SELECT settled_at - tick FROM ticks WHERE tick > {noted}");
    let mut late: Vec<i64> = numbers(&cluster, &late).await;
    let begun = format!(
        "SELECT e.started_at - t.tick FROM ticks t JOIN executions e ON e.tenant = t.tenant AND e.job = t.job
         WHERE t.tick > {noted}"
    );
    let mut begun: Vec<i64> = numbers(&cluster, &begun).await;
    late.sort_unstable();
    begun.sort_unstable();
    let at = |times: &[i64], part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "schedules: {schedules} on {HOSTS} hosts, {} ticks queued late by {} ms (p50), {} ms (p99), begun by {} ms (p50), \
         {} ms (p99)",
        late.len(),
        at(&late, 50),
        at(&late, 99),
        at(&begun, 50),
        at(&begun, 99),
    );
    // The short form runs beside all other tests.
    let most = if is_full() { 1_000 } else { 20_000 };
    assert!(at(&late, 99) < most, "{} ms", at(&late, 99));
    assert_eq!(late.len() as i64, minutes * schedules, "each tick is there");
}

async fn numbers(cluster: &Cluster, sql: &str) -> Vec<i64> {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut cluster.database().await).await.unwrap()
}
