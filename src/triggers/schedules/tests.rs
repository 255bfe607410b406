use super::cron::{CatchUp, Overlap};
use super::*;
use crate::settings::{MetricsSettings, TenantSettings};
use crate::store::Kind;
use crate::store::clock::Clock;
use crate::store::fixture::{Lasting, on_both_databases};
use crate::tenant::Tenant;
use crate::tenant::quota::{Quota, Quotas};

on_both_databases!(
    a_tick_is_one_job,
    hosts_that_share_schedules_settle_each_tick_once,
    a_run_that_is_not_done_stands_in_the_way,
    what_was_missed_is_on_record_and_caught_up,
    a_clock_that_jumps_ahead_makes_no_flood,
    a_clock_that_is_set_back_repeats_nothing,
    a_clock_that_was_far_ahead_is_put_right,
    a_tenant_that_may_have_no_more_jobs_skips,
    what_the_database_refuses_of_a_tenant_takes_no_other_with_it,
    a_schedule_rests_and_wakes,
    the_settings_schedules_come_and_go,
    tenants_that_a_host_does_not_know_are_left_to_others,
    only_the_latest_ticks_are_kept,
);

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
/// 2027-01-15 08:00 UTC.
const NOW: Millis = 1_800_000_000_000;

struct Scene {
    database: Lasting,
    clock: Clock,
    here: Schedules,
}

impl Scene {
    async fn new(kind: Kind) -> Scene {
        let (database, clock) = (Lasting::new(kind).await, Clock::manual(NOW));
        let here = host(&database, &clock, Quotas::default(), &["a", "b"]).await;
        Scene { database, clock, here }
    }

    async fn add(&self, script: &str, cron: &Cron) {
        self.add_to("a", script, cron).await;
    }

    async fn add_to(&self, tenant: &'static str, script: &str, cron: &Cron) {
        let (script, cron, now) = (script.to_owned(), cron.clone(), self.clock.now());
        let added: sqlx::Result<()> = self
            .here
            .store()
            .write(tenant, move |connection| {
                Box::pin(async move { note(connection, tenant, &script, true, &cron, true, now).await })
            })
            .await;
        added.unwrap();
    }

    /// Lets time pass, and settles what is due by then.
    async fn pass(&self, time: Millis) {
        self.clock.advance(time);
        settle_all(&self.here).await;
    }

    /// A script's ticks as hours and minutes after the beginning, the earliest
    /// first, with what became of them.
    async fn ticks(&self, script: &str) -> Vec<String> {
        let ticks = self.here.ticks("a", script, Millis::MAX, 100_000).await.unwrap();
        let shown = |tick: &Tick| {
            let minutes = (tick.tick - NOW) / MINUTE;
            let reason = tick.reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
            format!("{}:{:02} {}{reason}", minutes.div_euclid(60), minutes.rem_euclid(60), tick.fate)
        };
        ticks.iter().rev().map(shown).collect()
    }

    /// Rows of a query with one number in them.
    async fn numbers(&self, query: &'static str) -> Vec<i64> {
        let found: sqlx::Result<Vec<i64>> = self
            .here
            .store()
            .read(move |connection| Box::pin(async move { sqlx::query_scalar(query).fetch_all(connection).await }))
            .await;
        found.unwrap()
    }

    /// All jobs are done.
    async fn finish(&self) {
        let done: sqlx::Result<()> = self
            .here
            .store()
            .write_without_turn(|connection| {
                Box::pin(async move { sqlx::query("DELETE FROM jobs").execute(connection).await.map(|_| ()) })
            })
            .await;
        done.unwrap();
    }
}

async fn host(database: &Lasting, clock: &Clock, quotas: Quotas, tenants: &[&str]) -> Schedules {
    let store = database.open().await.with_clock(clock.clone());
    let tenant = |id: &&str| TenantSettings {
        tenant: Tenant { id: (*id).to_owned(), name: String::new() },
        schema: None,
        seed: None,
        quotas: None,
    };
    let settings = Settings { tenants: tenants.iter().map(tenant).collect(), ..Settings::default() };
    of_settings(store, &settings, quotas, clock)
}

fn of_settings(store: Store, settings: &Settings, quotas: Quotas, clock: &Clock) -> Schedules {
    Schedules::new(
        store.clone(),
        Queue::new(store),
        Arc::new(Places::new(settings)),
        Ledger::new(quotas, HashMap::new(), clock.clone()),
        Arc::new(Metrics::new(&MetricsSettings::default())),
        settings,
    )
}

async fn settle_all(host: &Schedules) {
    while host.turn().await.unwrap().is_zero() {}
}

fn hourly() -> Cron {
    Cron::new("0 * * * *")
}

async fn a_tick_is_one_job(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.add("nightly", &Cron { jitter: Some("10m".into()), attempts: Some(2), ..hourly() }).await;
    scene.pass(59 * MINUTE + 59_000).await;
    assert!(scene.ticks("nightly").await.is_empty());
    scene.pass(1_500).await;
    settle_all(&scene.here).await;
    assert_eq!(scene.ticks("nightly").await, ["1:00 queued"]);
    let run_at = scene.numbers("SELECT run_at FROM jobs WHERE script = 'nightly' AND attempts = 2").await;
    let [run_at] = run_at[..] else { panic!("{run_at:?}") };
    assert!((NOW + HOUR..=NOW + HOUR + 10 * MINUTE).contains(&run_at), "{run_at}");
    let input: sqlx::Result<String> = scene
        .here
        .store()
        .read(|connection| {
            Box::pin(async move { sqlx::query_scalar("SELECT input FROM jobs").fetch_one(connection).await })
        })
        .await;
    let input: serde_json::Value = serde_json::from_str(&input.unwrap()).unwrap();
    let expected = json!({
        "scheduledAt": "2027-01-15T09:00:00.000Z", "schedule": "0 * * * *", "timezone": "UTC", "caughtUp": false,
    });
    assert_eq!(input, expected);
    let listed = scene.here.get("a", "nightly").await.unwrap();
    assert_eq!(listed.state.next(scene.clock.now(), 1), [NOW + 2 * HOUR]);
    let last = listed.last.unwrap();
    assert!(last.job.is_some() && last.job_state.is_some(), "{last:?}");
    assert!(scene.here.get("b", "nightly").await.is_err(), "another tenant has none");
}

async fn hosts_that_share_schedules_settle_each_tick_once(kind: Kind) {
    let scene = Scene::new(kind).await;
    for script in 0..70 {
        scene.add(&format!("s-{script}"), &Cron { overlap: Overlap::Allow, ..hourly() }).await;
    }
    // A second host on a SQLite file is another handle on it.
    let there = host(&scene.database, &scene.clock, Quotas::default(), &["a", "b"]).await;
    for _ in 0..3 {
        scene.clock.advance(HOUR);
        tokio::join!(settle_all(&scene.here), settle_all(&there), settle_all(&scene.here), settle_all(&there));
    }
    assert_eq!(scene.numbers("SELECT COUNT(*) FROM ticks WHERE fate = 'queued'").await, [210]);
    assert_eq!(scene.numbers("SELECT COUNT(*) FROM jobs").await, [210]);
    let lost = "SELECT COUNT(*) FROM ticks WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = ticks.job)";
    assert_eq!(scene.numbers(lost).await, [0]);
}

async fn a_run_that_is_not_done_stands_in_the_way(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.add("skips", &hourly()).await;
    scene.add("queues", &Cron { overlap: Overlap::Queue, ..hourly() }).await;
    scene.add("allows", &Cron { overlap: Overlap::Allow, ..hourly() }).await;
    scene.pass(HOUR).await;
    scene.pass(HOUR).await;
    assert_eq!(scene.ticks("skips").await, ["1:00 queued", "2:00 skipped overlap"]);
    assert_eq!(scene.ticks("queues").await, ["1:00 queued", "2:00 queued"]);
    assert_eq!(scene.ticks("allows").await, ["1:00 queued", "2:00 queued"]);
    let blocked = "SELECT COUNT(*) FROM jobs WHERE state = 'blocked' AND script = 'queues'";
    assert_eq!(scene.numbers(blocked).await, [1], "one after the other");
    scene.finish().await;
    scene.pass(HOUR).await;
    assert_eq!(scene.ticks("skips").await[2], "3:00 queued");
}

async fn what_was_missed_is_on_record_and_caught_up(kind: Kind) {
    let scene = Scene::new(kind).await;
    for (script, catch_up) in [("none", CatchUp::None), ("latest", CatchUp::Latest), ("all", CatchUp::All)] {
        scene.add(script, &Cron { catch_up, catch_up_window: Some("2h30m".into()), ..hourly() }).await;
    }
    scene.pass(3 * HOUR + 10 * MINUTE).await;
    let missed = |reason: &str, hours: &[i64]| -> Vec<String> {
        hours.iter().map(|hour| format!("{hour}:00 missed {reason}")).collect()
    };
    assert_eq!(scene.ticks("none").await, missed("no_catch_up", &[1, 2, 3]));
    let caught_up =
        |hours: &[i64]| -> Vec<String> { hours.iter().map(|hour| format!("{hour}:00 caught_up")).collect() };
    assert_eq!(scene.ticks("latest").await, [missed("superseded", &[1, 2]), caught_up(&[3])].concat());
    assert_eq!(scene.ticks("all").await, caught_up(&[1, 2, 3]));
    let waiting = "SELECT COUNT(*) FROM jobs WHERE script = 'all' AND state = 'blocked'";
    assert_eq!(scene.numbers(waiting).await, [2], "one after the other");
    scene.finish().await;
    scene.pass(50 * MINUTE).await;
    assert_eq!(scene.ticks("none").await[3], "4:00 queued");
}

async fn a_clock_that_jumps_ahead_makes_no_flood(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.add("often", &Cron { catch_up: CatchUp::All, ..Cron::new("* * * * *") }).await;
    scene.add("yearly", &Cron::new("0 0 1 1 *")).await;
    scene.pass(365 * 24 * HOUR).await;
    let ticks = scene.ticks("often").await;
    assert_eq!(ticks.len(), 1_000, "of a year of minutes, the latest");
    assert_eq!(scene.numbers("SELECT COUNT(*) FROM jobs WHERE script = 'often'").await, [100]);
    assert_eq!(scene.ticks("yearly").await.len(), 1);
    scene.pass(HOUR).await;
    assert_eq!(scene.ticks("often").await.len(), 1_060);
}

async fn a_clock_that_is_set_back_repeats_nothing(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.add("often", &Cron { overlap: Overlap::Allow, ..Cron::new("*/10 * * * *") }).await;
    for _ in 0..6 {
        scene.pass(10 * MINUTE).await;
    }
    let before = scene.ticks("often").await;
    scene.pass(-30 * MINUTE).await;
    for _ in 0..3 {
        scene.pass(10 * MINUTE).await;
        scene.here.keep_house().await.unwrap();
    }
    assert_eq!(scene.ticks("often").await, before);
    scene.pass(10 * MINUTE).await;
    assert_eq!(scene.ticks("often").await[6..], ["1:10 queued"]);
    assert_eq!(scene.numbers("SELECT COUNT(*) FROM jobs").await, [7]);
}

async fn a_clock_that_was_far_ahead_is_put_right(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.add("hourly", &Cron { overlap: Overlap::Allow, ..hourly() }).await;
    scene.pass(5 * HOUR).await;
    scene.clock.advance(-5 * HOUR);
    scene.here.keep_house().await.unwrap();
    let before = scene.numbers("SELECT COUNT(*) FROM jobs").await;
    for _ in 0..6 {
        scene.pass(HOUR).await;
    }
    let ticks = scene.ticks("hourly").await;
    assert_eq!(ticks.len(), 6, "each once: {ticks:?}");
    assert_eq!(ticks[5], "6:00 queued");
    assert_eq!(
        scene.numbers("SELECT COUNT(*) FROM jobs").await,
        [before[0] + 1],
        "those of the wrong time are not run again"
    );
}

async fn a_tenant_that_may_have_no_more_jobs_skips(kind: Kind) {
    let scene = Scene::new(kind).await;
    let here = host(&scene.database, &scene.clock, Quotas { jobs: 2, ..Quotas::default() }, &["a"]).await;
    for script in ["one", "three", "two"] {
        scene.add(script, &hourly()).await;
    }
    scene.clock.advance(HOUR);
    settle_all(&here).await;
    assert_eq!(scene.ticks("one").await, ["1:00 queued"]);
    assert_eq!(scene.ticks("two").await, ["1:00 skipped quota"]);
    let refusals = here.0.quotas.refusals();
    assert_eq!((refusals.len(), refusals[0].quota, refusals[0].count), (1, Quota::Jobs, 1));
}

async fn what_the_database_refuses_of_a_tenant_takes_no_other_with_it(kind: Kind) {
    let scene = Scene::new(kind).await;
    for (tenant, script) in [("a", "one"), ("b", "one"), ("b", "two")] {
        scene.add_to(tenant, script, &hourly()).await;
    }
    scene.here.store().refuse("ticks", "NEW.tenant = 'a'").await;
    scene.clock.advance(HOUR);
    assert!(scene.here.turn().await.is_err());
    assert!(scene.ticks("one").await.is_empty());
    assert_eq!(scene.numbers("SELECT COUNT(*) FROM ticks WHERE tenant = 'b' AND fate = 'queued'").await, [2]);
    assert_eq!(scene.numbers("SELECT items FROM usage WHERE tenant = 'b' AND room = 'jobs'").await, [2]);
    assert_eq!(scene.numbers("SELECT COUNT(*) FROM jobs WHERE tenant <> 'b'").await, [0]);
}

async fn a_schedule_rests_and_wakes(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.add("hourly", &hourly()).await;
    let listed = scene.here.pause("a", "hourly", true).await.unwrap();
    assert!(listed.state.paused && listed.state.next_at.is_none());
    scene.pass(5 * HOUR).await;
    let listed = scene.here.pause("a", "hourly", false).await.unwrap();
    assert_eq!(listed.state.next_at, Some(NOW + 6 * HOUR));
    scene.pass(HOUR).await;
    assert_eq!(scene.ticks("hourly").await, ["6:00 queued"], "what it slept through is not missed");
    assert!(matches!(scene.here.pause("b", "hourly", true).await, Err(Refused::NotFound)));
}

async fn the_settings_schedules_come_and_go(kind: Kind) {
    let (database, clock) = (Lasting::new(kind).await, Clock::manual(NOW));
    let store = database.open().await.with_clock(clock.clone());
    let begin = async |scripts: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("airlock.toml");
        std::fs::write(&file, format!("[[tenants]]\nid = \"a\"\n[[tenants]]\nid = \"b\"\n{scripts}")).unwrap();
        std::fs::write(folder.path().join("a.js"), "").unwrap();
        let settings = Settings::load(Some(&file), |_| None).unwrap_or_else(|error| panic!("{error}"));
        let schedules = of_settings(store.clone(), &settings, Quotas::default(), &clock);
        schedules.begin().await.unwrap();
        schedules
    };
    let one = "[[scripts]]\nname = \"one\"\nfile = \"a.js\"\ntype = \"cron\"\ncron.schedule = \"0 * * * *\"\n";
    let two = "[[scripts]]\nname = \"two\"\nfile = \"a.js\"\ntype = \"cron\"\ntenants = [\"a\"]\ncron.schedule = \"30 * * * *\"\n";
    let names = async |schedules: &Schedules, tenant: &str| -> Vec<String> {
        schedules.list(tenant, "", 10).await.unwrap().into_iter().map(|listed| listed.name).collect()
    };
    let schedules = begin(&format!("{one}{two}")).await;
    assert_eq!(
        (names(&schedules, "a").await, names(&schedules, "b").await),
        (vec!["one".into(), "two".into()], vec!["one".into()])
    );
    clock.advance(HOUR);
    settle_all(&schedules).await;
    // A restart changes nothing; what is gone from the settings is gone.
    clock.advance(30 * MINUTE);
    let schedules = begin(one).await;
    assert_eq!(names(&schedules, "a").await, ["one"]);
    let kept = schedules.get("a", "one").await.unwrap();
    assert_eq!((kept.state.settled_to, kept.state.next_at), (NOW + HOUR, Some(NOW + 2 * HOUR)));
    assert!(schedules.ticks("a", "two", Millis::MAX, 10).await.unwrap().is_empty());
}

async fn tenants_that_a_host_does_not_know_are_left_to_others(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.add("hourly", &hourly()).await;
    let there = host(&scene.database, &scene.clock, Quotas::default(), &["b"]).await;
    scene.clock.advance(HOUR);
    settle_all(&there).await;
    assert!(scene.ticks("hourly").await.is_empty());
    settle_all(&scene.here).await;
    assert_eq!(scene.ticks("hourly").await, ["1:00 queued"]);
}

async fn only_the_latest_ticks_are_kept(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.add("often", &Cron { catch_up: CatchUp::None, ..Cron::new("* * * * *") }).await;
    scene.add("hourly", &Cron { catch_up: CatchUp::None, ..hourly() }).await;
    scene.pass(1_000 * MINUTE).await;
    scene.pass(10 * MINUTE).await;
    assert_eq!(scene.ticks("often").await.len(), 1_010);
    scene.here.keep_house().await.unwrap();
    let kept = scene.ticks("often").await;
    assert_eq!((kept.len(), kept[0].as_str()), (1_000, "0:11 missed no_catch_up"));
    assert_eq!(scene.ticks("hourly").await.len(), 16);
    scene.pass(40 * 24 * HOUR).await;
    scene.here.keep_house().await.unwrap();
    assert_eq!(scene.ticks("hourly").await.len(), 30 * 24, "for thirty days");
}
