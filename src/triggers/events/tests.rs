use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::scripts::shelf::Places;
use crate::settings::{ScriptKind, ScriptSettings, Settings, TenantSettings};
use crate::store::clock::Clock;
use crate::store::fixture::{identity, on_both_databases};
use crate::store::usage::{self, Room, Usage};
use crate::store::{Kind, Store};
use crate::tenant::Tenant;
use crate::tenant::quota::{Account, Ledger, Quotas};

const NOW: Millis = 1_700_000_000_000;

on_both_databases!(
    a_published_event_is_in_the_outbox_of_its_tenant_alone,
    names_and_data_are_checked,
    the_host_alone_tells_of_itself,
    a_dedup_key_names_one_event,
    a_chain_ends,
    each_script_that_wants_an_event_has_a_job_for_it,
    what_cannot_be_queued_is_not_published,
    events_of_one_moment_are_each_written_in_their_order,
    an_event_that_nobody_waits_for_any_more_is_not_written,
    of_events_of_one_moment_those_are_refused_that_are_too_many,
    events_go_once_they_are_old_and_no_job_needs_them,
    what_comes_of_what_the_host_tells_causes_nothing_more
);

struct Scene {
    clock: Clock,
    store: Store,
    outbox: Outbox,
    limits: Limits,
    account: Arc<Account>,
}

/// A script of the settings, and the one tenant that has it.
fn script(tenant: &str, name: &str, event: Value) -> Arc<ScriptSettings> {
    Arc::new(ScriptSettings {
        name: name.to_owned(),
        kind: ScriptKind::Event,
        event: Some(serde_json::from_value(event).unwrap()),
        tenants: Some(vec![tenant.to_owned()]),
        ..ScriptSettings::default()
    })
}

impl Scene {
    async fn new(kind: Kind) -> Scene {
        Scene::with(kind, Vec::new(), Quotas::default()).await
    }

    async fn with(kind: Kind, scripts: Vec<Arc<ScriptSettings>>, quotas: Quotas) -> Scene {
        let clock = Clock::manual(NOW);
        let store = Store::fresh(kind).await.with_clock(clock.clone());
        let tenants = ["a", "b"].map(|id| {
            let tenant = Tenant { id: id.into(), name: id.into() };
            TenantSettings { tenant, schema: None, seed: None, quotas: None }
        });
        let settings = Settings { tenants: tenants.into(), scripts, ..Settings::default() };
        let places = Arc::new(Places::new(&settings));
        let metrics = Arc::new(Metrics::new(&settings.metrics));
        let outbox = Outbox::new(store.clone(), &settings, places, Queue::new(store.clone()), metrics);
        let account = Ledger::new(quotas, Default::default(), clock.clone()).account("a");
        Scene { clock, store, outbox, limits: Limits::default(), account }
    }

    /// Script, event, order key, state, time and attempts of all jobs, in their order.
    async fn jobs(&self) -> Vec<Job> {
        let jobs: sqlx::Result<Vec<Job>> = self
            .store
            .read(|connection| {
                Box::pin(
                    sqlx::query_as(
                        "SELECT tenant, script, cause, depth, order_key, state, priority, run_at, attempts FROM jobs
                         ORDER BY number",
                    )
                    .fetch_all(connection),
                )
            })
            .await;
        jobs.unwrap()
    }

    async fn publish(&self, new: New) -> Result<Published, Refused> {
        self.publish_as(Publisher::script(&identity("a")), new).await
    }

    async fn publish_as(&self, publisher: Publisher, new: New) -> Result<Published, Refused> {
        self.outbox.publish("a", &self.limits, &self.account, publisher, new).await
    }

    async fn tell(&self, told: Told) -> bool {
        let outbox = self.outbox.clone();
        let told: sqlx::Result<bool> = self
            .store
            .write("a", move |connection| Box::pin(async move { outbox.tell(connection, "a", told).await }))
            .await;
        told.unwrap()
    }

    async fn run(&self, sql: &'static str) {
        let done: sqlx::Result<()> = self
            .store
            .write("a", move |connection| Box::pin(async move { sqlx::query(sql).execute(connection).await.map(drop) }))
            .await;
        done.unwrap();
    }

    async fn used(&self) -> Usage {
        let used: sqlx::Result<Usage> =
            self.store.read(|connection| Box::pin(usage::of(connection, "a", Room::Outbox))).await;
        used.unwrap()
    }

    /// What a script is told that publishes it.
    async fn refusal(&self, new: New) -> Failure {
        self.publish(new).await.unwrap_err().failure()
    }

    async fn events(&self, tenant: &str) -> Vec<Event> {
        self.outbox.list(tenant, None, None, 100).await.unwrap()
    }
}

#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
struct Job {
    tenant: String,
    script: String,
    cause: Option<String>,
    depth: i64,
    order_key: Option<String>,
    state: String,
    priority: i64,
    run_at: Millis,
    attempts: i64,
}

fn event(name: &str, data: &str) -> New {
    New { name: name.into(), data: data.into(), ..New::default() }
}

async fn a_published_event_is_in_the_outbox_of_its_tenant_alone(kind: Kind) {
    let scene = Scene::new(kind).await;
    let first = scene.publish(event("client.notified", "{\"n\":1}")).await.unwrap();
    let later = New { delay: Some(1.5), ..event("client.moved", "2") };
    let second = scene.publish(later).await.unwrap();
    assert!(first.is_new && Uuid::parse_str(&first.id).is_ok());

    let expected = Event {
        id: first.id.clone(),
        name: "client.notified".into(),
        data: r#"{"n":1}"#.into(),
        source: "script".into(),
        script: "script-1".into(),
        execution: "execution-1".into(),
        user_id: Some("user-1".into()),
        cause: None,
        depth: 0,
        dedup_key: None,
        deliver_at: None,
        created_at: NOW,
    };
    assert_eq!(scene.outbox.get("a", &first.id).await.unwrap().as_ref(), Some(&expected));
    let all = scene.events("a").await;
    assert_eq!(all.iter().map(|event| &event.id).collect::<Vec<_>>(), [&second.id, &first.id], "the newest first");
    assert_eq!(all[0].deliver_at, Some(NOW + 1500));
    let named = scene.outbox.list("a", Some("client.moved"), None, 100).await.unwrap();
    assert_eq!(named.len(), 1);
    let without_data = Event { data: String::new(), ..expected };
    assert_eq!(scene.outbox.list("a", None, Some(&second.id), 100).await.unwrap(), [without_data]);
    assert!(scene.events("b").await.is_empty());
    assert_eq!(scene.outbox.get("b", &first.id).await.unwrap(), None);
}

async fn names_and_data_are_checked(kind: Kind) {
    let mut scene = Scene::new(kind).await;
    scene.limits.event_bytes = 20;
    let longest = "x".repeat(NAME);
    for name in ["order.created", "a", "A-1_b:c", &longest] {
        assert!(scene.publish(event(name, "{}")).await.is_ok(), "{name}");
    }
    let too_long = "x".repeat(NAME + 1);
    for name in ["", "order created", "a\n", "é", "a/b", "*", &too_long] {
        let failure = scene.refusal(event(name, "{}")).await;
        assert!(failure.name == "TypeError" && failure.message.contains("order.created"), "{}", failure.message);
    }
    for data in ["", "{", "undefined"] {
        let failure = scene.refusal(event("a", data)).await;
        assert!(failure.message.contains("not JSON"), "{}", failure.message);
    }
    let large = format!("\"{}\"", "x".repeat(20));
    assert_eq!(scene.refusal(event("a", &large)).await.limit.unwrap().setting, "limits.event_bytes");
    let long = "x".repeat(KEY + 1);
    for (new, word) in [
        (New { delay: Some(-1.0), ..event("a", "1") }, "delay"),
        (New { delay: Some(f64::NAN), ..event("a", "1") }, "delay"),
        (New { delay: Some(DELAY + 1.0), ..event("a", "1") }, "delay"),
        (New { key: Some(String::new()), ..event("a", "1") }, "key"),
        (New { key: Some(long.clone()), ..event("a", "1") }, "key"),
        (New { dedup_key: Some("a\0b".into()), ..event("a", "1") }, "dedup key"),
        (New { priority: Some(PRIORITY + 1), ..event("a", "1") }, "priority"),
        (New { priority: Some(-PRIORITY - 1), ..event("a", "1") }, "priority"),
    ] {
        let failure = scene.refusal(new).await;
        assert!(failure.name == "TypeError" && failure.message.contains(word), "{}", failure.message);
    }
    assert_eq!(scene.events("a").await.len(), 4);
}

async fn the_host_alone_tells_of_itself(kind: Kind) {
    let scene = Scene::new(kind).await;
    for name in ["script.created", "execution.failed", "job.dead", "script.x"] {
        let failure = scene.refusal(event(name, "{}")).await;
        assert!(failure.name == "PermissionDenied" && failure.message.contains("the host itself"), "{failure:?}");
    }
    assert!(scene.publish(event("script.metric", "{}")).await.is_ok());
    let request = Publisher::api(identity("a").user.as_ref().unwrap(), "request-1");
    let refused = scene.publish_as(request.clone(), event("script.metric", "{}")).await;
    assert!(matches!(refused, Err(Refused::Reserved("script."))));
    assert!(scene.publish_as(request, event("scripts.made", "{}")).await.is_ok());
    assert_eq!(scene.events("a").await[0].source, "api");
}

async fn a_dedup_key_names_one_event(kind: Kind) {
    let scene = Scene::new(kind).await;
    let keyed = |name: &str, data: &str| New { dedup_key: Some("order-7".into()), ..event(name, data) };
    let first = scene.publish(keyed("order.created", "1")).await.unwrap();
    let again = scene.publish(keyed("order.created", "2")).await.unwrap();
    assert_eq!(again, Published { id: first.id.clone(), is_new: false });
    assert!(scene.publish(keyed("order.paid", "3")).await.unwrap().is_new, "of another name");
    let all = scene.events("a").await;
    assert_eq!(all.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["order.paid", "order.created"]);
    assert_eq!(scene.outbox.get("a", &first.id).await.unwrap().unwrap().data, "1");
}

async fn a_chain_ends(kind: Kind) {
    let scene = Scene::new(kind).await;
    let handling = |depth| {
        let mut identity = Identity::clone(&identity("a"));
        identity.execution.cause = Some(Cause { event: "event-1".into(), depth });
        Publisher::script(&identity)
    };
    let last = handling(16);
    let published = scene.publish_as(last, event("a", "1")).await.unwrap();
    let stored = scene.outbox.get("a", &published.id).await.unwrap().unwrap();
    assert_eq!((stored.cause.as_deref(), stored.depth), (Some("event-1"), 16));
    let failure = scene.publish_as(handling(17), event("a", "1")).await.unwrap_err().failure();
    let limit = failure.limit.clone().unwrap();
    assert_eq!((limit.name.as_str(), limit.value, limit.used), ("event_depth", 16, 17));
    assert!(failure.name == "LimitError" && failure.message.contains("circle"), "{}", failure.message);
}

async fn each_script_that_wants_an_event_has_a_job_for_it(kind: Kind) {
    let scripts = vec![
        script("a", "all", json!({ "events": ["*"] })),
        script(
            "a",
            "large",
            json!({ "events": ["order.*"], "filters": [{ "field": "total", "operator": "gt", "value": 99 }], "attempts": 2 }),
        ),
        script("a", "by-customer", json!({ "events": ["order.created", "order.*"], "ordered_by": "customer" })),
        script("b", "of-another", json!({ "events": ["*"] })),
    ];
    let scene = Scene::with(kind, scripts, Quotas::default()).await;
    let small = scene.publish(event("order.created", r#"{"total": 99, "customer": 7}"#)).await.unwrap();
    let keyed = New {
        key: Some("own".into()),
        delay: Some(60.0),
        priority: Some(-5),
        dedup_key: Some("once".into()),
        ..event("order.paid", r#"{"total": 100, "customer": 7}"#)
    };
    let large = scene.publish(keyed.clone()).await.unwrap();
    assert!(!scene.publish(keyed).await.unwrap().is_new);
    scene.publish(event("refund.made", "1")).await.unwrap();

    let jobs = scene.jobs().await;
    let job = |script: &str, event: &str, order_key: Option<&str>| Job {
        tenant: "a".into(),
        script: script.into(),
        cause: Some(event.into()),
        depth: 1,
        order_key: order_key.map(str::to_owned),
        state: "waiting".into(),
        priority: 0,
        run_at: NOW,
        attempts: 5,
    };
    let later = |job| Job { state: "delayed".into(), priority: -5, run_at: NOW + 60_000, ..job };
    // Which of one event's come first is nobody's business.
    let of = |id: &str| {
        let mut jobs: Vec<Job> = jobs.iter().filter(|job| job.cause.as_deref() == Some(id)).cloned().collect();
        jobs.sort_by(|one, other| one.script.cmp(&other.script));
        jobs
    };
    assert_eq!(of(&small.id), [job("all", &small.id, None), job("by-customer", &small.id, Some("7"))]);
    let expected = [
        later(job("all", &large.id, Some("own"))),
        later(job("by-customer", &large.id, Some("own"))),
        Job { attempts: 2, ..later(job("large", &large.id, Some("own"))) },
    ];
    assert_eq!(of(&large.id), expected);
    assert_eq!(jobs.len(), 6, "{jobs:?}");
}

async fn what_cannot_be_queued_is_not_published(kind: Kind) {
    let scripts = vec![
        script("a", "one", json!({ "events": ["order.*"] })),
        script("a", "two", json!({ "events": ["order.*"] })),
    ];
    let mut scene = Scene::with(kind, scripts, Quotas { jobs: 3, ..Quotas::default() }).await;
    scene.publish(event("order.created", "1")).await.unwrap();
    let failure = scene.refusal(event("order.created", "2")).await;
    assert_eq!(failure.limit.unwrap().setting, "quotas.jobs");
    assert_eq!((scene.events("a").await.len(), scene.jobs().await.len()), (1, 2));
    scene.publish(event("nobody.wants.it", "3")).await.unwrap();

    scene.limits.event_handlers = 1;
    let failure = scene.refusal(event("order.created", "4")).await;
    assert_eq!(failure.limit.unwrap().setting, "limits.event_handlers");
    assert!(failure.message.contains("2 scripts handle"), "{}", failure.message);
}

async fn events_of_one_moment_are_each_written_in_their_order(kind: Kind) {
    let wants = json!({ "events": ["order.*"], "ordered_by": "customer" });
    let scene = Scene::with(kind, vec![script("a", "ship", wants)], Quotas::default()).await;
    let publish = (0..105).map(|n| {
        let name = if n % 3 == 0 { "user.created" } else { "order.created" };
        let dedup_key = (n % 7 == 0).then(|| "once".to_owned());
        scene.publish(New { dedup_key, ..event(name, &format!(r#"{{"customer":"ada","n":{n}}}"#)) })
    });
    let published: Vec<Published> = join_all(publish).await.into_iter().map(Result::unwrap).collect();
    let kept: Vec<&Published> = published.iter().filter(|published| published.is_new).collect();
    let deduplicated = 105 - kept.len();
    assert_eq!(deduplicated, (0..105).filter(|n| n % 7 == 0).count() - 2, "one of each name is new");

    let events = scene.events("a").await;
    assert_eq!(scene.used().await, Usage { items: kept.len() as i64, bytes: scene.used().await.bytes });
    assert_eq!(events.len(), kept.len());
    for (n, published) in published.iter().enumerate().filter(|(_, published)| published.is_new) {
        let event = scene.outbox.get("a", &published.id).await.unwrap().unwrap();
        assert_eq!(event.data, format!(r#"{{"customer":"ada","n":{n}}}"#), "the answer is that of its event");
    }
    let jobs = scene.jobs().await;
    let handled: Vec<&Event> = events.iter().filter(|event| event.name == "order.created").collect();
    assert_eq!(jobs.len(), handled.len());
    let states: Vec<&str> = jobs.iter().map(|job| job.state.as_str()).collect();
    assert_eq!(states[0], "waiting");
    assert!(states[1..].iter().all(|state| *state == "blocked"), "they are one customer's: {states:?}");
    // Those that had nothing to look up came one after another, in the order given.
    let plain = |n: usize| !n.is_multiple_of(3) && !n.is_multiple_of(7);
    let wanted: Vec<&String> = (0..105).filter(|n| plain(*n)).map(|n| &published[n].id).collect();
    let causes: Vec<&String> =
        jobs.iter().filter_map(|job| job.cause.as_ref()).filter(|id| wanted.contains(id)).collect();
    assert_eq!(causes, wanted);
}

async fn an_event_that_nobody_waits_for_any_more_is_not_written(kind: Kind) {
    let scene = Scene::new(kind).await;
    let mut first = Box::pin(scene.publish(event("order.created", "1")));
    assert!(futures_util::poll!(&mut first).is_pending());
    {
        let mut abandoned = Box::pin(scene.publish(event("order.created", "2")));
        assert!(futures_util::poll!(&mut abandoned).is_pending());
    }
    let (first, last) = tokio::join!(first, scene.publish(event("order.created", "3")));
    let events = scene.events("a").await;
    let ids: Vec<&String> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids, [&last.unwrap().id, &first.unwrap().id]);
}

async fn of_events_of_one_moment_those_are_refused_that_are_too_many(kind: Kind) {
    let quotas = Quotas { jobs: 20, ..Quotas::default() };
    let scene = Scene::with(kind, vec![script("a", "ship", json!({ "events": ["order.created"] }))], quotas).await;
    let publish = (0..100).map(|n| {
        let name = if n % 2 == 0 { "order.created" } else { "user.created" };
        scene.publish(event(name, "{}"))
    });
    let published = join_all(publish).await;
    for (n, published) in published.iter().enumerate() {
        match published {
            Ok(_) => assert!(n % 2 == 1 || n < 40, "{n}: there is room for twenty jobs"),
            Err(Refused::Quota(exceeded)) => {
                assert!(n % 2 == 0 && n >= 40, "{n}: {exceeded}");
            }
            Err(other) => panic!("{n}: {other}"),
        }
    }
    assert_eq!(scene.jobs().await.len(), 20);
    assert_eq!(scene.events("a").await.len(), 70, "what is refused leaves nothing");
}

async fn events_go_once_they_are_old_and_no_job_needs_them(kind: Kind) {
    const DAY: Millis = 24 * 60 * 60 * 1000;
    let scripts = vec![script("a", "handler", json!({ "events": ["order.*"] }))];
    let scene = Scene::with(kind, scripts, Quotas::default()).await;
    let handled = scene.publish(event("order.created", "1")).await.unwrap();
    scene.publish(event("nobody.wants.it", &json!("x".repeat(1000)).to_string())).await.unwrap();
    scene.clock.advance(7 * DAY + 1);
    let fresh = scene.publish(event("nobody.wants.it", "3")).await.unwrap();
    scene.outbox.delete_old().await.unwrap();
    let left = |events: Vec<Event>| events.into_iter().map(|event| event.id).collect::<Vec<_>>();
    assert_eq!(left(scene.events("a").await), [fresh.id.clone(), handled.id]);
    let used = scene.used().await;
    assert!(used.items == 2 && (400..800).contains(&used.bytes), "{used:?}");

    scene.run("DELETE FROM jobs").await;
    scene.outbox.delete_old().await.unwrap();
    assert_eq!(left(scene.events("a").await), [fresh.id]);
    // Before their time, where there is too much.
    scene.run("UPDATE usage SET bytes = 200000000 WHERE room = 'outbox'").await;
    scene.outbox.delete_old().await.unwrap();
    assert!(scene.events("a").await.is_empty());
}

async fn what_comes_of_what_the_host_tells_causes_nothing_more(kind: Kind) {
    let scripts = vec![script("a", "handler", json!({ "events": ["*"] }))];
    let scene = Scene::with(kind, scripts, Quotas::default()).await;
    let told = |cause: Option<&str>| Told {
        name: "execution.failed",
        data: json!({}),
        script: "script-1".into(),
        execution: "execution-1".into(),
        cause: cause.map(|event| Cause { event: event.into(), depth: 1 }),
        dedup_key: None,
    };
    let first = scene.publish(event("order.created", "1")).await.unwrap();
    assert!(scene.tell(told(Some(&first.id))).await, "of an event of a script's");
    let failed = scene.outbox.list("a", Some("execution.failed"), None, 1).await.unwrap().remove(0);
    assert_eq!((failed.source.as_str(), failed.cause), ("host", Some(first.id)));

    let mut identity = Identity::clone(&identity("a"));
    identity.execution.cause = Some(Cause { event: failed.id.clone(), depth: 2 });
    let then = scene.publish_as(Publisher::script(&identity), event("alarm.rung", "1")).await.unwrap();
    assert!(!scene.tell(told(Some(&failed.id))).await);
    assert!(!scene.tell(told(Some(&then.id))).await);
    assert_eq!(scene.events("a").await.len(), 3);
    assert!(!scene.tell(Told { script: "handler".into(), ..told(None) }).await, "nobody is told of themselves");
}
