use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use super::attempt;
use super::claim::Claimed;
use super::finish::{Done, End, backoff};
use super::workers::{Crew, Workers};
use super::*;
use crate::executions::{Execution, Filter};
use crate::host::Host;
use crate::runtime::limits::Limits;
use crate::settings::{QueueSettings, Settings};
use crate::store::Kind;
use crate::store::clock::{Clock, Millis};
use crate::store::fixture::{identity, on_both_databases, postgres};
use crate::store::usage::{self, Room, Usage};
use crate::tenant::quota::Quotas;
use crate::tenant::{Authority, User};
use crate::triggers::events::{New, Publisher};

const NOW: Millis = 1_700_000_000_000;
const SECOND: Millis = 1000;

const SETTINGS: &str = r#"
tenants = [{ id = "a" }, { id = "b" }, { id = "c" }]
scripts = [
    { name = "echo", file = "echo.js" },
    { name = "fail", file = "fail.js" },
    { name = "give-up", file = "give-up.js" },
    { name = "wait", file = "wait.js" },
    { name = "listen", file = "echo.js", type = "event", event = { events = ["execution.failed"] }, tenants = ["c"] },
]
"#;

const SCRIPTS: [(&str, &str); 4] = [
    ("echo.js", "export default (input) => ({ input, by: context.user?.id, trigger: context.execution.triggeredBy })"),
    ("fail.js", "export default (input) => { throw new RangeError('no ' + JSON.stringify(input)); }"),
    ("give-up.js", "export default () => { throw Object.assign(new Error('no customer'), { retry: false }); }"),
    ("wait.js", "export default (ms) => new Promise((done) => setTimeout(done, ms))"),
];

/// A host whose workers do what a test says.
struct Scene {
    host: Arc<Host>,
    crew: Arc<Crew>,
    clock: Clock,
    folder: Arc<TempDir>,
    more: String,
}

impl Scene {
    async fn new(kind: Kind) -> Scene {
        Scene::with(kind, "").await
    }

    async fn with(kind: Kind, more: &str) -> Scene {
        let store = match kind {
            Kind::Sqlite => String::new(),
            Kind::Postgres => format!("[store]\nurl = {:?}", postgres().await),
        };
        Scene::beside(format!("{more}\n{store}"), Clock::manual(NOW), Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// Another host on the same database.
    async fn another(&self) -> Scene {
        Scene::beside(self.more.clone(), self.clock.clone(), self.folder.clone()).await
    }

    async fn beside(more: String, clock: Clock, folder: Arc<TempDir>) -> Scene {
        let file = folder.path().join("airlock.toml");
        std::fs::write(&file, format!("{SETTINGS}\n{more}")).unwrap();
        for (name, text) in SCRIPTS {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let settings = Settings::load(Some(&file), |_| None).unwrap_or_else(|error| panic!("{error}"));
        let cache = std::env::current_exe().unwrap().with_file_name("airlock-machine-code");
        let mut host = Host::builder(settings).cache(cache).clock(clock.clone()).open().await.unwrap();
        assert!(host.load_scripts().await.is_empty());
        let host = Arc::new(host);
        let crew = Arc::new(Crew::new(host.clone()));
        crew.renew().await.unwrap();
        Scene { host, crew, clock, folder, more }
    }

    fn store(&self) -> &Store {
        &self.host.queue().0.store
    }

    async fn insert(&self, tenant: &str, jobs: Vec<NewJob>) -> Inserted {
        let (owner, now) = (tenant.to_owned(), self.clock.now());
        let inserted: sqlx::Result<Inserted> = self
            .store()
            .write(tenant, move |connection| Box::pin(async move { insert(connection, &owner, now, &jobs).await }))
            .await;
        inserted.unwrap()
    }

    async fn claim(&self, most: usize) -> Vec<Claimed> {
        self.crew.claim(most, "").await.unwrap().jobs
    }

    async fn attempt(&self, mut job: Claimed) -> Done {
        let end = attempt::make(&self.host, &mut job).await;
        Done { job, end }
    }

    async fn finish(&self, done: Done) {
        let (grip, _) = self.crew.hands.take(&done.job.tenant);
        self.crew.clone().finish(vec![(Arc::new(done), grip)]).await;
    }

    /// Does what there is to do. Answers how many attempts that took.
    async fn work(&self) -> usize {
        let mut attempts = 0;
        loop {
            let jobs = self.claim(100).await;
            if jobs.is_empty() {
                return attempts;
            }
            attempts += jobs.len();
            for job in jobs {
                self.finish(self.attempt(job).await).await;
            }
        }
    }

    /// A column of a tenant's jobs, in the order of their inputs.
    async fn column(&self, tenant: &str, column: &str) -> Vec<String> {
        let sql = format!("SELECT CAST({column} AS TEXT) FROM jobs WHERE tenant = '{tenant}' ORDER BY input");
        let values: sqlx::Result<Vec<String>> = self
            .store()
            .read(move |connection| {
                Box::pin(async move { sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await })
            })
            .await;
        values.unwrap()
    }

    async fn states(&self, tenant: &str) -> Vec<String> {
        self.column(tenant, "state").await
    }

    /// A tenant's executions, the latest first.
    async fn executions(&self, tenant: &str) -> Vec<Execution> {
        self.host.executions().list(tenant, Filter::default(), None, 1000).await.unwrap()
    }

    async fn used(&self, room: Room) -> Usage {
        self.used_by("a", room).await
    }

    async fn used_by(&self, tenant: &'static str, room: Room) -> Usage {
        let used: sqlx::Result<Usage> =
            self.store().read(move |connection| Box::pin(usage::of(connection, tenant, room))).await;
        used.unwrap()
    }
}

fn to(script: &str, input: usize) -> NewJob {
    NewJob { input: Some(input.to_string()), ..NewJob::new(script, Trigger::Api) }
}

fn job(input: usize) -> NewJob {
    to("echo", input)
}

async fn jobs_are_kept_in_the_state_that_is_theirs(kind: Kind) {
    let scene = Scene::new(kind).await;
    let ordered = |input| NewJob { order_key: Some("key".into()), ..job(input) };
    let other = NewJob { script: "script-2".into(), ..ordered(5) };
    let delayed = NewJob { run_at: Some(NOW + 1), ..job(2) };
    let late = NewJob { run_at: Some(NOW + 1), order_key: Some("late".into()), ..job(6) };
    let behind = NewJob { order_key: Some("late".into()), ..job(7) };
    let past = NewJob { run_at: Some(NOW - 1), ..job(8) };
    let jobs = vec![job(1), delayed, ordered(3), ordered(4), other, late, behind, past];
    let inserted = scene.insert("a", jobs).await;
    assert_eq!(inserted.used.items, 8);
    let states = scene.states("a").await;
    let expected =
        ["waiting", "delayed", "waiting", "blocked", "waiting", "delayed", "blocked", "waiting"].map(str::to_owned);
    assert_eq!(states, expected);
    assert!(scene.states("b").await.is_empty());
}

async fn many_jobs_are_one_insert(kind: Kind) {
    let scene = Scene::new(kind).await;
    let inserted = scene.insert("a", (0..75).map(job).collect()).await;
    assert!(inserted.jobs.iter().all(|kept| kept.is_new));
    assert_eq!(inserted.used.items, 75);
    assert_eq!(scene.states("a").await.len(), 75);
    assert_eq!(scene.insert("a", Vec::new()).await.used, inserted.used);
}

async fn a_job_is_not_queued_twice(kind: Kind) {
    let scene = Scene::new(kind).await;
    let keyed = |input| NewJob { dedup_key: Some("key".into()), ..job(input) };
    let named = |input| NewJob { id: Some("id".into()), ..job(input) };
    let first = scene.insert("a", vec![keyed(1), named(2), keyed(3), named(4), job(5)]).await;
    let id = |n: usize| first.jobs[n].id.clone();
    let kept = |n: usize, is_new| Kept { id: id(n), is_new };
    assert_eq!(first.jobs, [kept(0, true), kept(1, true), kept(0, false), kept(1, false), kept(4, true)]);
    assert_eq!(id(1), "id");
    let again = scene.insert("a", vec![keyed(6), named(7)]).await;
    assert_eq!(again.jobs, [kept(0, false), kept(1, false)]);
    assert_eq!(again.used, first.used);
    assert!(scene.insert("b", vec![keyed(1), named(2)]).await.jobs.iter().all(|kept| kept.is_new), "a tenant's own");
}

async fn what_is_not_committed_is_not_queued(kind: Kind) {
    let scene = Scene::new(kind).await;
    let done: sqlx::Result<Usage> = scene
        .store()
        .write("a", move |connection| {
            Box::pin(async move {
                insert(connection, "a", NOW, &[job(1)]).await?;
                Err(sqlx::Error::RowNotFound)
            })
        })
        .await;
    assert!(done.is_err());
    assert!(scene.states("a").await.is_empty());
}

async fn a_job_that_is_done_is_gone_and_on_record(kind: Kind) {
    let scene = Scene::new(kind).await;
    let user = User { id: "ann".into(), ..User::default() };
    let caller = Some(Caller { user, authority: Authority::Claimed });
    let kept = scene.insert("a", vec![job(1), NewJob { caller, trigger: Trigger::OneOff, ..job(2) }]).await;
    assert_eq!(scene.work().await, 2);
    assert!(scene.states("a").await.is_empty());
    assert_eq!(scene.used(Room::Jobs).await, Usage::default());
    let executions = scene.executions("a").await;
    assert_eq!(executions.len(), 2);
    assert_eq!(scene.used(Room::Executions).await.items, 2);
    for (n, result) in
        [(0, r#"{"input":1,"by":null,"trigger":"api"}"#), (1, r#"{"input":2,"by":"ann","trigger":"oneoff"}"#)]
    {
        let id = &kept.jobs[n].id;
        let key = crate::executions::Key { tenant: "a".into(), id: id.clone() };
        let execution = scene.host.executions().get(&key).await.unwrap().unwrap();
        assert_eq!(
            (execution.status.as_str(), execution.job.as_ref(), execution.attempt),
            ("completed", Some(id), Some(1))
        );
        let result: Value = serde_json::from_str(result).unwrap();
        let shown: Value = serde_json::from_str(&execution.result.unwrap()).unwrap();
        assert_eq!(shown["input"], result["input"]);
        assert_eq!(shown["trigger"], result["trigger"]);
        assert_eq!(shown.get("by").cloned().unwrap_or_default(), result["by"]);
    }
}

async fn a_job_that_fails_is_tried_again_later_until_it_is_dead(kind: Kind) {
    let scene = Scene::new(kind).await;
    let kept = scene.insert("a", vec![NewJob { attempts: 3, ..to("fail", 7) }]).await;
    for attempt in 1..=3 {
        assert_eq!(scene.work().await, 1, "{attempt}");
        if attempt < 3 {
            assert_eq!(scene.states("a").await, ["delayed"]);
            let wait: Millis = scene.column("a", "run_at").await[0].parse::<Millis>().unwrap() - scene.clock.now();
            let most = (2 * SECOND) << (attempt - 1);
            assert!((most / 2..=most).contains(&wait), "{wait}");
            scene.clock.advance(wait - 1);
            assert_eq!(scene.work().await, 0, "not yet");
            scene.clock.advance(1);
        }
    }
    assert_eq!(scene.states("a").await, ["dead"]);
    scene.clock.advance(3600 * SECOND);
    assert_eq!(scene.work().await, 0);
    let error: Value = serde_json::from_str(&scene.column("a", "error").await[0]).unwrap();
    assert_eq!(error, serde_json::json!({ "name": "RangeError", "message": "no 7" }));
    let executions = scene.executions("a").await;
    let attempts: Vec<_> = executions.iter().map(|execution| (execution.attempt, execution.status.as_str())).collect();
    assert_eq!(attempts, [(Some(3), "failed"), (Some(2), "failed"), (Some(1), "failed")]);
    assert!(executions.iter().all(|execution| execution.job.as_ref() == Some(&kept.jobs[0].id)));
    assert_eq!(scene.used(Room::Jobs).await.items, 1);
}

async fn a_job_whose_script_wants_no_further_attempt_is_dead_at_once(kind: Kind) {
    let scene = Scene::new(kind).await;
    let ordered = |job| NewJob { order_key: Some("key".into()), attempts: 5, ..job };
    scene.insert("a", vec![ordered(to("give-up", 1)), ordered(to("give-up", 2))]).await;
    assert_eq!(scene.work().await, 2, "the one behind it is let go");
    assert_eq!(scene.states("a").await, ["dead", "dead"]);
    let error: Value = serde_json::from_str(&scene.column("a", "error").await[0]).unwrap();
    assert_eq!(error, serde_json::json!({ "name": "Error", "message": "no customer", "retry": false }));
    let executions = scene.executions("a").await;
    assert!(executions.iter().all(|execution| execution.attempt == Some(1)), "{executions:?}");
    let replayed = scene.host.queue().replay("a", executions[0].job.as_ref().unwrap(), 5).await.unwrap();
    assert_eq!(replayed, Changed::Done);
    assert_eq!(scene.work().await, 1, "somebody may still try it again");
}

async fn what_a_dead_host_had_in_hand_is_done_by_another(kind: Kind) {
    let (dead, alive) = {
        let scene = Scene::new(kind).await;
        let other = scene.another().await;
        (scene, other)
    };
    dead.insert("a", vec![job(1), NewJob { attempts: 2, ..to("fail", 2) }]).await;
    let jobs = dead.claim(10).await;
    assert_eq!(jobs.len(), 2);
    dead.clock.advance(30 * SECOND);
    alive.crew.renew().await.unwrap();
    assert_eq!(alive.crew.sweep().await.unwrap(), 0, "its lease holds still");
    assert_eq!(alive.work().await, 0);
    dead.clock.advance(1);
    assert_eq!(alive.crew.sweep().await.unwrap(), 2);
    assert_eq!(alive.crew.sweep().await.unwrap(), 0);
    assert_eq!(alive.work().await, 2);
    let known = |executions: Vec<Execution>| {
        let mut all: Vec<_> = executions
            .into_iter()
            .map(|execution| (execution.script, execution.attempt.unwrap(), execution.status))
            .collect();
        all.sort();
        all
    };
    let expected = [("echo", 1, "lost"), ("echo", 2, "completed"), ("fail", 1, "lost"), ("fail", 2, "failed")]
        .map(|(script, attempt, status)| (script.to_owned(), attempt, status.to_owned()));
    assert_eq!(known(alive.executions("a").await), expected);
    assert_eq!(alive.states("a").await, ["dead"]);

    // It was only silent.
    for job in jobs {
        dead.finish(dead.attempt(job).await).await;
    }
    assert_eq!(known(alive.executions("a").await), expected, "what it did then counts for nothing");
    assert_eq!(alive.states("a").await, ["dead"]);
    assert_eq!(alive.used(Room::Executions).await.items, 4);
    let before = dead.crew.name();
    dead.insert("a", vec![job(3)]).await;
    assert!(dead.claim(10).await.is_empty(), "without a lease it claims nothing");
    dead.crew.renew().await.unwrap();
    assert_ne!(dead.crew.name(), before);
    assert_eq!(dead.work().await, 1);
}

async fn a_job_that_is_lost_again_and_again_is_given_up(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.insert("a", vec![job(1)]).await;
    for attempt in 1..=3 {
        assert_eq!(scene.claim(10).await[0].attempt, attempt);
        scene.clock.advance(31 * SECOND);
        assert_eq!(scene.crew.sweep().await.unwrap(), 1);
        scene.crew.renew().await.unwrap();
    }
    assert_eq!(scene.states("a").await, ["dead"]);
    assert_eq!(scene.executions("a").await.len(), 3);
}

async fn a_clock_that_is_set_back_delays_no_more_than_a_lease(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.insert("a", vec![job(1)]).await;
    assert_eq!(scene.claim(10).await.len(), 1);
    scene.clock.advance(-3600 * SECOND);
    assert_eq!(scene.crew.sweep().await.unwrap(), 0);
    scene.clock.advance(30 * SECOND);
    assert_eq!(scene.crew.sweep().await.unwrap(), 0);
    scene.clock.advance(1);
    assert_eq!(scene.crew.sweep().await.unwrap(), 1);
}

async fn tenants_share_a_host_whatever_each_has_waiting(kind: Kind) {
    let scene = Scene::with(kind, "[quotas]\nconcurrent_calls = 6").await;
    scene.insert("a", (0..200).map(job).collect()).await;
    scene.insert("b", (0..3).map(job).collect()).await;
    let of = |jobs: &[Claimed], tenant: &str| jobs.iter().filter(|job| job.tenant == tenant).count();
    let jobs = scene.claim(4).await;
    assert_eq!((of(&jobs, "a"), of(&jobs, "b")), (2, 2));
    let jobs = scene.claim(20).await;
    assert_eq!((of(&jobs, "a"), of(&jobs, "b")), (6, 1), "one has its quota, the other no more");
    let held: Vec<_> = (0..6).map(|_| scene.crew.hands.take("a")).collect();
    let claims = scene.crew.claim(20, "").await.unwrap();
    assert!(claims.jobs.is_empty() && claims.full, "six of its calls run");
    drop(held);
    assert_eq!(scene.claim(20).await.len(), 6);
    // Who was last is not first.
    scene.insert("b", (3..9).map(job).collect()).await;
    let after_a = scene.crew.claim(1, "a").await.unwrap();
    assert_eq!((after_a.jobs[0].tenant.as_str(), after_a.last.as_str()), ("b", "b"));
    assert_eq!(scene.crew.claim(1, "b").await.unwrap().jobs[0].tenant, "a");
}

async fn what_is_urgent_goes_first_then_what_waits_longest(kind: Kind) {
    let scene = Scene::new(kind).await;
    let at = |input, priority, run_at| NewJob { priority, run_at: Some(run_at), ..job(input) };
    let jobs =
        vec![at(1, 0, NOW), at(2, 0, NOW - 5), at(3, 5, NOW), at(4, -1, NOW - 9), at(5, 9, NOW + 5), at(6, 0, NOW)];
    scene.insert("a", jobs).await;
    let inputs = |jobs: Vec<Claimed>| jobs.into_iter().map(|job| job.input.unwrap()).collect::<Vec<_>>().concat();
    let claims = scene.crew.claim(3, "").await.unwrap();
    assert_eq!(claims.wait.as_millis(), 5, "the next look is when the next one is due");
    assert_eq!(inputs(claims.jobs), "321");
    scene.clock.advance(5);
    assert_eq!(inputs(scene.claim(10).await), "564");
}

async fn jobs_with_an_order_key_go_one_after_the_other(kind: Kind) {
    let scene = Scene::new(kind).await;
    let ordered = |input| NewJob { order_key: Some("key".into()), ..job(input) };
    let failing = NewJob { attempts: 2, order_key: Some("key".into()), ..to("fail", 2) };
    // Blocked for as long as the script of the one before is its own.
    let failing = NewJob { script: "echo".into(), entry: Some("missing".into()), ..failing };
    scene.insert("a", vec![ordered(1), failing, ordered(3), ordered(4), job(5)]).await;
    let first = scene.claim(10).await;
    assert_eq!(first.iter().map(|job| job.input.as_deref().unwrap()).collect::<Vec<_>>(), ["1", "5"]);
    assert!(scene.claim(10).await.is_empty());
    for job in first {
        scene.finish(scene.attempt(job).await).await;
    }
    assert_eq!(scene.states("a").await, ["waiting", "blocked", "blocked"]);
    assert_eq!(scene.work().await, 1);
    assert_eq!(scene.states("a").await, ["delayed", "blocked", "blocked"], "the one that failed is still first");
    scene.clock.advance(10 * SECOND);
    assert_eq!(scene.work().await, 3, "a dead letter is in nobody's way");
    assert_eq!(scene.states("a").await, ["dead"]);
    scene.insert("a", vec![ordered(6)]).await;
    assert_eq!(scene.states("a").await, ["dead", "waiting"]);
}

async fn what_could_not_begin_counts_for_nothing(kind: Kind) {
    let scene = Scene::new(kind).await;
    let quotas = Quotas { calls_per_minute: 1, ..Quotas::default() };
    scene.host.process().quotas.set("a", quotas);
    scene.insert("a", vec![job(1), job(2)]).await;
    let mut ends = Vec::new();
    for job in scene.claim(10).await {
        let done = scene.attempt(job).await;
        ends.push(matches!(done.end, End::NotBegun(_)));
        scene.finish(done).await;
    }
    assert_eq!(ends, [false, true]);
    assert_eq!(scene.states("a").await, ["delayed"]);
    assert_eq!(scene.column("a", "attempt").await, ["0"]);
    assert_eq!(scene.executions("a").await.len(), 1);
    scene.clock.advance(61 * SECOND);
    assert_eq!(scene.work().await, 1);
    assert_eq!(scene.executions("a").await.len(), 2);
}

async fn a_script_that_cannot_be_called_is_tried_again_and_says_so(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.insert("a", vec![NewJob { attempts: 2, ..NewJob::new("gone", Trigger::Cron) }]).await;
    assert_eq!(scene.work().await, 1);
    assert_eq!(scene.states("a").await, ["delayed"]);
    let execution = &scene.executions("a").await[0];
    assert_eq!((execution.script.as_str(), execution.status.as_str()), ("gone", "failed"));
    let error: Value = serde_json::from_str(execution.error.as_ref().unwrap()).unwrap();
    assert_eq!(error["name"], "UnavailableError");
    assert!(error["message"].as_str().unwrap().contains("no such script"), "{error}");
}

async fn a_large_argument_arrives_whole(kind: Kind) {
    let scene = Scene::new(kind).await;
    let text = "x".repeat(100_000);
    let jobs = scene.insert("a", vec![NewJob { input: Some(format!("{text:?}")), ..job(1) }]).await;
    assert!(jobs.used.bytes > 100_000);
    let claimed = scene.claim(1).await.remove(0);
    assert_eq!(claimed.input, None, "not before its call");
    scene.finish(scene.attempt(claimed).await).await;
    assert_eq!(
        scene.executions("a").await[0].result_bytes,
        Some(100_000 + r#"{"input":"","trigger":"api"}"#.len() as i64)
    );
}

async fn a_handler_gets_the_event(kind: Kind) {
    let scene = Scene::new(kind).await;
    let events = &scene.host.process().events;
    let (limits, account) = (Limits::default(), scene.host.process().quotas.account("a"));
    let new = New { name: "order.created".into(), data: r#"{"total":7}"#.into(), ..New::default() };
    let publisher = Publisher::script(&identity("a"));
    let id = events.publish("a", &limits, &account, publisher, new).await.unwrap().id;
    let of =
        |id: &str| NewJob { input: None, cause: Some(id.to_owned()), depth: 1, ..NewJob::new("echo", Trigger::Event) };
    scene.insert("a", vec![of(&id), of(&id), of("gone")]).await;
    assert_eq!(scene.work().await, 3);
    let by_event = Filter { cause: Some(id.clone()), ..Filter::default() };
    let handled = scene.host.executions().list("a", by_event, None, 10).await.unwrap();
    assert_eq!(handled.len(), 2);
    let key = crate::executions::Key { tenant: "a".into(), id: handled[0].id.clone() };
    let result = scene.host.executions().get(&key).await.unwrap().unwrap().result.unwrap();
    let result: Value = serde_json::from_str(&result).unwrap();
    let expected = serde_json::json!({
        "id": id, "name": "order.created", "data": { "total": 7 }, "tenant": "a",
        "occurredAt": "2023-11-14T22:13:20.000Z", "attempt": 1,
    });
    assert_eq!(result["input"], expected);
    assert_eq!(scene.states("a").await, ["dead"], "the one whose event is gone");
}

async fn jobs_of_many_tenants_are_done_together(kind: Kind) {
    let scene = Scene::new(kind).await;
    for (tenant, count) in [("a", 1), ("b", 2), ("c", 3)] {
        scene.insert(tenant, (0..count).map(|n| to(if n == 2 { "fail" } else { "echo" }, n)).collect()).await;
    }
    // Room for one more than each tenant's share.
    let claimed = scene.claim(4).await;
    let of = |tenant: &str| claimed.iter().filter(|job| job.tenant == tenant).count();
    assert_eq!([of("a"), of("b"), of("c")], [1, 2, 1]);
    let mut part = Vec::new();
    for job in claimed.into_iter().chain(scene.claim(100).await) {
        let (grip, _) = scene.crew.hands.take(&job.tenant);
        part.push((Arc::new(scene.attempt(job).await), grip));
    }
    let tenants = scene.crew.clone().finish(part).await;
    assert_eq!(tenants.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    for (tenant, completed, left) in [("a", 1, vec![]), ("b", 2, vec![]), ("c", 2, vec!["dead", "waiting"])] {
        let executions = scene.executions(tenant).await;
        let done = executions.iter().filter(|execution| execution.status == "completed" && execution.script == "echo");
        assert_eq!(done.count(), completed, "{tenant}");
        // One of them has told another script that it failed.
        let mut states = scene.states(tenant).await;
        states.sort();
        assert_eq!(states, left, "{tenant}");
        let used = scene.used_by(tenant, Room::Jobs).await;
        assert_eq!((used.items, used.bytes > 0), (left.len() as i64, !left.is_empty()), "{tenant}");
        assert_eq!(scene.used_by(tenant, Room::Executions).await.items, executions.len() as i64, "{tenant}");
    }
}

async fn what_the_database_refuses_is_set_aside_alone(kind: Kind) {
    // Its record is refused whatever it says, or as long as it says what happened.
    for (what, on_record) in [("NEW.status <> ''", 0), ("NEW.status = 'failed'", 1)] {
        let scene = Scene::new(kind).await;
        scene.store().refuse("executions", &format!("NEW.script = 'fail' AND {what}")).await;
        let ordered = |job| NewJob { order_key: Some("key".into()), ..job };
        let behind = ordered(NewJob { entry: Some("missing".into()), ..to("fail", 9) });
        let jobs = (0..5).map(job).chain([ordered(NewJob { attempts: 3, ..to("fail", 7) }), behind]).collect();
        scene.insert("a", jobs).await;
        scene.insert("b", vec![job(1), job(2)]).await;
        let mut part = Vec::new();
        for job in scene.claim(100).await {
            let (grip, _) = scene.crew.hands.take(&job.tenant);
            part.push((Arc::new(scene.attempt(job).await), grip));
        }
        scene.crew.clone().finish(part).await;
        assert_eq!(scene.states("a").await, ["dead", "waiting"], "the one behind it is let go");
        assert!(scene.states("b").await.is_empty());
        assert_eq!(scene.executions("b").await.len(), 2);
        assert_eq!(scene.crew.hands.jobs(), 0);
        let error: Value = serde_json::from_str(&scene.column("a", "COALESCE(error, '')").await[0]).unwrap();
        assert_eq!(error["name"], "InternalError");
        let executions = scene.executions("a").await;
        let with = |status: &str| executions.iter().filter(|execution| execution.status == status).count();
        assert_eq!((with("completed"), with("lost"), executions.len()), (5, on_record, 5 + on_record));
        let metrics = scene.host.metrics();
        for line in ["airlock_job_attempts_total{state=\"set_aside\"} 1", "airlock_dead_letters_total 1"] {
            assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
        }
        // What is left of it by a dead host holds up no other's either.
        scene.insert("a", vec![NewJob { attempts: 3, ..to("fail", 8) }, job(6)]).await;
        assert_eq!(scene.claim(100).await.len(), 3);
        scene.clock.advance(31 * SECOND);
        scene.crew.sweep().await.unwrap();
        let states = scene.states("a").await;
        let waiting = if on_record == 0 { 1 } else { 3 };
        assert_eq!(states.iter().filter(|state| *state == "waiting").count(), waiting, "{states:?}");
        assert!(!states.iter().any(|state| state == "running"), "{states:?}");
    }
}

async fn whoever_listens_is_told_of_what_was_stopped_or_lost(kind: Kind) {
    let scene = Scene::new(kind).await;
    let other = scene.another().await;
    let kept = scene.insert("c", vec![NewJob { attempts: 5, ..to("wait", 60_000) }, to("wait", 60_001)]).await;
    let mut jobs = scene.claim(2).await;
    let (stopped, lost) = (jobs.remove(0), jobs.remove(0));
    let key = crate::executions::Key { tenant: "c".into(), id: stopped.id.clone() };
    let stop = async {
        while scene.host.executions().cancel(&key).await.unwrap() != crate::executions::Cancelled::Told {
            tokio::task::yield_now().await;
        }
    };
    let (done, ()) = tokio::join!(scene.attempt(stopped), stop);
    scene.finish(done).await;
    scene.clock.advance(31 * SECOND);
    assert_eq!(other.crew.sweep().await.unwrap(), 1);

    let events = &scene.host.process().events;
    let mut told = Vec::new();
    for event in events.list("c", Some("execution.failed"), None, 10).await.unwrap() {
        let data = events.get("c", &event.id).await.unwrap().unwrap().data;
        let data: Value = serde_json::from_str(&data).unwrap();
        let member = |name: &str| data["execution"][name].clone();
        told.push((member("id"), member("status"), member("job"), member("attempt")));
    }
    told.reverse();
    let expected = [("cancelled", 0), ("lost", 1)].map(|(status, job)| {
        let id = Value::from(kept.jobs[job].id.clone());
        (id.clone(), status.into(), id, 1.into())
    });
    assert_eq!(told, expected);
    assert_eq!(lost.id, kept.jobs[1].id);
    let metrics = [&scene, &other].map(|scene| scene.host.metrics());
    for metrics in metrics {
        let line = "airlock_events_published_total{tenant=\"c\",source=\"host\"} 1";
        assert!(metrics.lines().any(|known| known == line), "{metrics}");
    }
}

async fn what_somebody_stopped_is_over(kind: Kind) {
    let scene = Scene::new(kind).await;
    scene.insert("a", vec![NewJob { attempts: 5, ..to("wait", 60_000) }]).await;
    let job = scene.claim(1).await.remove(0);
    let key = crate::executions::Key { tenant: "a".into(), id: job.id.clone() };
    let stop = async {
        while scene.host.executions().cancel(&key).await.unwrap() != crate::executions::Cancelled::Told {
            tokio::task::yield_now().await;
        }
    };
    let (done, ()) = tokio::join!(scene.attempt(job), stop);
    scene.finish(done).await;
    assert!(scene.states("a").await.is_empty());
    assert_eq!(scene.executions("a").await[0].status, "cancelled");
}

async fn workers_do_jobs_until_they_are_told_to_stop(kind: Kind) {
    // One sandbox, so that the second job waits for it.
    let more = "[sandboxes]\ncount = 1\n[queue]\nconcurrency = 8\n[quotas]\nconcurrent_calls = 2";
    let scene = Scene::with(kind, more).await;
    let workers = Workers::start(scene.host.clone());
    let other = scene.another().await;
    // Queued by another host, which tells this one.
    other.insert("a", (0..50).map(job).collect()).await;
    other.host.queue().wake();
    let all = async {
        while !scene.states("a").await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    // Two at a time, one after the other: the next look is when there is room.
    tokio::time::timeout(std::time::Duration::from_secs(15), all).await.expect("it waits for the poll");
    assert_eq!(scene.executions("a").await.len(), 50);

    scene.insert("a", vec![to("wait", 500), to("wait", 501)]).await;
    scene.host.queue().wake();
    while scene.states("a").await != ["running", "running"] || scene.host.executions().under_way() < 2 {
        tokio::task::yield_now().await;
    }
    workers.stop(std::time::Duration::from_secs(10)).await;
    assert_eq!(scene.states("a").await, ["delayed"], "one has ended, the other has not begun");
    assert_eq!(scene.column("a", "attempt").await, ["0"]);
    assert_eq!(scene.executions("a").await.len(), 51);
    assert_eq!(other.work().await, 1);
}

on_both_databases!(
    jobs_are_kept_in_the_state_that_is_theirs,
    many_jobs_are_one_insert,
    a_job_is_not_queued_twice,
    what_is_not_committed_is_not_queued,
    a_job_that_is_done_is_gone_and_on_record,
    jobs_of_many_tenants_are_done_together,
    a_job_that_fails_is_tried_again_later_until_it_is_dead,
    a_job_whose_script_wants_no_further_attempt_is_dead_at_once,
    what_a_dead_host_had_in_hand_is_done_by_another,
    a_job_that_is_lost_again_and_again_is_given_up,
    a_clock_that_is_set_back_delays_no_more_than_a_lease,
    tenants_share_a_host_whatever_each_has_waiting,
    what_is_urgent_goes_first_then_what_waits_longest,
    jobs_with_an_order_key_go_one_after_the_other,
    what_could_not_begin_counts_for_nothing,
    a_script_that_cannot_be_called_is_tried_again_and_says_so,
    a_large_argument_arrives_whole,
    a_handler_gets_the_event,
    what_somebody_stopped_is_over,
    what_the_database_refuses_is_set_aside_alone,
    whoever_listens_is_told_of_what_was_stopped_or_lost,
    workers_do_jobs_until_they_are_told_to_stop,
);

/// It takes no connections, and has closed those there were.
#[tokio::test]
async fn a_database_that_goes_away_is_waited_for() {
    use sqlx::Connection as _;

    let scene = Scene::with(Kind::Postgres, "[queue]\nconcurrency = 4").await;
    let mut url = url::Url::parse(scene.more.split('"').nth(1).unwrap()).unwrap();
    let name = url.path().trim_start_matches('/').to_owned();
    url.set_path("/postgres");
    let mut admin = sqlx::PgConnection::connect(url.as_str()).await.unwrap();
    let mut tell = async |sql: String| sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    // Long enough to be seen side by side, whatever else the machine does.
    scene.insert("a", (0..8).map(|n| to("wait", n + 1000)).chain([to("fail", 1)]).collect()).await;
    let workers = Workers::start(scene.host.clone());
    until("four run", async || scene.host.executions().under_way() >= 4).await;
    tell(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    tell(format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")).await;
    until("the workers notice", async || workers.is_failing()).await;
    // What runs ends meanwhile, and is held: no more than may run at once.
    assert_eq!(scene.host.executions().under_way(), 4);
    tell(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    let is_over = async || {
        let states: sqlx::Result<Vec<String>> = scene
            .store()
            .read(|connection| {
                Box::pin(async move {
                    sqlx::query_scalar("SELECT state FROM jobs ORDER BY input").fetch_all(connection).await
                })
            })
            .await;
        states.is_ok_and(|states| states == ["dead"])
    };
    until("all is done or dead", is_over).await;
    workers.stop(std::time::Duration::from_secs(10)).await;
    let executions = scene.executions("a").await;
    assert_eq!(executions.len(), 9);
    assert!(executions.iter().all(|execution| execution.attempt == Some(1)), "{executions:?}");
}

/// Waits for something, and fails where it does not come: a test that hangs says
/// nothing.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within a minute"));
}

#[test]
fn a_job_waits_twice_as_long_after_each_failure_less_some_chance() {
    let settings = QueueSettings::default();
    for (attempt, chance, seconds) in
        [(1, 0.0, 2.0), (2, 0.0, 4.0), (3, 1.0, 4.0), (5, 0.5, 24.0), (12, 0.0, 600.0), (i64::MAX, 0.0, 600.0)]
    {
        assert_eq!(backoff(&settings, attempt, chance).as_secs_f64(), seconds, "{attempt} {chance}");
    }
}
