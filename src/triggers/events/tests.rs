use super::*;
use crate::scripts::shelf::Places;
use crate::store::clock::Clock;
use crate::store::fixture::{identity, on_both_databases};
use crate::store::{Kind, Store};
use crate::tenant::quota::{Account, Ledger, Quotas};
use std::sync::Arc;

const NOW: Millis = 1_700_000_000_000;

on_both_databases!(
    a_published_event_is_in_the_outbox_of_its_tenant_alone,
    names_and_data_are_checked,
    the_host_alone_tells_of_itself,
    a_dedup_key_names_one_event,
    a_chain_ends
);

struct Scene {
    outbox: Outbox,
    limits: Limits,
    account: Arc<Account>,
}

impl Scene {
    async fn new(kind: Kind) -> Scene {
        let clock = Clock::manual(NOW);
        let store = Store::fresh(kind).await.with_clock(clock.clone());
        let ledger = Ledger::new(Quotas::default(), Default::default(), clock);
        Scene {
            outbox: Outbox::new(store, Arc::new(Places::default())),
            limits: Limits::default(),
            account: ledger.account("a"),
        }
    }

    async fn publish(&self, new: New) -> Result<Published, Refused> {
        self.publish_as(Publisher::script(&identity("a"), None), new).await
    }

    async fn publish_as(&self, publisher: Publisher, new: New) -> Result<Published, Refused> {
        self.outbox.publish("a", &self.limits, &self.account, publisher, new).await
    }

    /// What a script is told that publishes it.
    async fn refusal(&self, new: New) -> Failure {
        self.publish(new).await.unwrap_err().failure()
    }

    async fn events(&self, tenant: &str) -> Vec<Event> {
        self.outbox.list(tenant, None, None, 100).await.unwrap()
    }
}

fn event(name: &str, data: &str) -> New {
    New { name: name.into(), data: data.into(), ..New::default() }
}

async fn a_published_event_is_in_the_outbox_of_its_tenant_alone(kind: Kind) {
    let scene = Scene::new(kind).await;
    let first = scene.publish(event("client.notified", "{\"n\":1}")).await.unwrap();
    let later = New { delay: Some(1.5), ..event("client.moved", "2") };
    let second = scene.publish(later).await.unwrap();
    assert!(first.is_new && uuid::Uuid::parse_str(&first.id).is_ok());

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
    assert_eq!(scene.outbox.list("a", None, Some(&second.id), 100).await.unwrap(), [expected]);
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
    assert_eq!(all.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(), ["3", "1"]);
}

async fn a_chain_ends(kind: Kind) {
    let scene = Scene::new(kind).await;
    let cause = |depth| Some(Cause { event: "event-1".into(), depth });
    let last = Publisher::script(&identity("a"), cause(16));
    let published = scene.publish_as(last, event("a", "1")).await.unwrap();
    let stored = scene.outbox.get("a", &published.id).await.unwrap().unwrap();
    assert_eq!((stored.cause.as_deref(), stored.depth), (Some("event-1"), 16));
    let beyond = Publisher::script(&identity("a"), cause(17));
    let failure = scene.publish_as(beyond, event("a", "1")).await.unwrap_err().failure();
    let limit = failure.limit.clone().unwrap();
    assert_eq!((limit.name.as_str(), limit.value, limit.used), ("event_depth", 16, 17));
    assert!(failure.name == "LimitError" && failure.message.contains("circle"), "{}", failure.message);
}

#[test]
fn a_handler_gets_the_event_as_it_was_published() {
    let event = Event {
        id: "0199".into(),
        name: "order.created".into(),
        data: r#"{"n":[1, 2]}"#.into(),
        source: "api".into(),
        script: String::new(),
        execution: "request-1".into(),
        user_id: None,
        cause: None,
        depth: 0,
        dedup_key: None,
        deliver_at: None,
        created_at: NOW,
    };
    let tenant = tenant::Tenant { id: "a".into(), name: "A \"tenant\"".into() };
    let argument: serde_json::Value = serde_json::from_str(&argument(&event, &tenant, 2)).unwrap();
    assert_eq!(
        argument,
        json!({
            "id": "0199", "name": "order.created", "data": { "n": [1, 2] },
            "tenant": { "id": "a", "name": "A \"tenant\"" }, "occurredAt": "2023-11-14T22:13:20.000Z", "attempt": 2,
        })
    );
}
