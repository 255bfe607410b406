//! What the application publishes, who handles it, and what the host tells.

use super::*;

on_both_databases!(
    an_application_publishes_events,
    what_cannot_be_published_is_told,
    the_host_tells_of_scripts_where_somebody_listens,
    the_host_tells_of_failures_where_somebody_listens
);

const HANDLER: &str = "export default (event) => event.name";

fn handler(name: &str, event: Value) -> Value {
    json!({ "name": name, "type": "event", "event": event })
}

impl Fixture {
    async fn publish(&self, event: Value) -> Answer {
        self.ask("ann", "POST", "/api/events", event).await
    }

    async fn script_id(&self, name: &str) -> String {
        self.get(&format!("/api/scripts/{name}")).await["id"].as_str().unwrap().to_owned()
    }

    /// The names of the events that scripts are to handle or have handled.
    async fn events(&self) -> Vec<String> {
        let events = self.get("/api/events").await;
        let events = events["items"].as_array().unwrap().iter();
        events.map(|event| event["name"].as_str().unwrap().to_owned()).collect()
    }
}

async fn an_application_publishes_events(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let filters = json!([{ "field": "total", "operator": "gte", "value": 100 }]);
    host.add(handler("large", json!({ "events": ["order.*"], "filters": filters })), &[HANDLER]).await;
    host.deploy("large", 1).await;
    host.add(handler("disabled", json!({ "events": ["*"] })), &[HANDLER]).await;
    host.deploy("disabled", 1).await;
    host.ask("ann", "POST", "/api/scripts/disabled/disable", Value::Null).await;
    host.add(handler("no-version", json!({ "events": ["*"] })), &[]).await;

    let order = json!({ "name": "order.created", "data": { "total": 100 }, "delay": 3600, "dedup_key": "order-7" });
    let published = host.publish(order.clone()).await;
    assert_eq!(published.status, 202, "{}", published.json);
    let id = published.json["id"].as_str().unwrap().to_owned();
    assert_eq!(published.headers["location"].to_str().unwrap(), format!("/api/events/{id}"));
    let again = host.publish(order).await;
    assert_eq!((again.status.as_u16(), &again.json), (200, &json!({ "id": id, "duplicate": true })));
    let small = host.publish(json!({ "name": "order.created", "data": { "total": 99 } })).await;
    assert_eq!((small.status.as_u16(), &small.json["duplicate"]), (202, &json!(false)));
    assert_eq!(host.publish(json!({ "name": "client.moved" })).await.status, 202);

    let event = host.get(&format!("/api/events/{id}")).await;
    for (member, expected) in [
        ("name", json!("order.created")),
        ("data", json!({ "total": 100 })),
        ("source", json!("api")),
        ("user", json!("ann")),
        ("script", json!(null)),
        ("depth", json!(0)),
        ("executions", json!([])),
    ] {
        assert_eq!(event[member], expected, "{member}");
    }
    let jobs = event["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 1, "{event}");
    assert_eq!((&jobs[0]["script"], &jobs[0]["state"]), (&json!(host.script_id("large").await), &json!("delayed")));
    let unheard = host.get(small.headers["location"].to_str().unwrap()).await;
    assert_eq!(unheard["jobs"], json!([]));

    let listed = host.get("/api/events?limit=2").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert_eq!(listed["items"][0]["name"], "client.moved");
    let rest = host.get(&format!("/api/events?limit=2&after={}", listed["next"].as_str().unwrap())).await;
    assert_eq!((&rest["items"][0]["id"], &rest["next"]), (&json!(id), &Value::Null));
    let named = host.get("/api/events?name=client.moved").await;
    assert_eq!(named["items"].as_array().unwrap().len(), 1);
    let strangers = host.ask("gus", "GET", "/api/events", Value::Null).await.json;
    assert_eq!(strangers["items"], json!([]));
    assert_eq!(host.ask("gus", "GET", &format!("/api/events/{id}"), Value::Null).await.status, 404);
}

async fn what_cannot_be_published_is_told(kind: Kind) {
    let host = Fixture::on(kind, "[limits]\nevent_bytes = '1KiB'\n[quotas]\nevents_per_minute = 1").await;
    for (event, status, code, field) in [
        (json!({ "name": "order created" }), 422, "body_invalid", json!("name")),
        (json!({ "name": "a", "delay": -1 }), 422, "body_invalid", json!("delay")),
        (json!({ "name": "a", "dedup_key": "" }), 422, "body_invalid", json!("dedup_key")),
        (json!({ "name": "a", "priority": 101 }), 422, "body_invalid", json!("priority")),
        (json!({ "name": "a", "at": 1 }), 422, "body_invalid", json!(null)),
        (json!({ "name": "script.metric" }), 403, "event_reserved", json!(null)),
        (json!({ "name": "a", "data": "x".repeat(1024) }), 413, "body_too_large", json!(null)),
    ] {
        let answer = host.publish(event.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{event}: {}", answer.json);
        if !field.is_null() {
            assert_eq!(answer.json["field"], field, "{event}");
        }
    }
    assert_eq!(host.publish(json!({ "name": "a" })).await.status, 202);
    assert_eq!(host.publish(json!({ "name": "a" })).await.code(), "quota_exceeded");
}

async fn the_host_tells_of_scripts_where_somebody_listens(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    host.add(json!({ "name": "silent", "type": "embedded" }), &[]).await;
    assert!(host.events().await.is_empty(), "nobody listens");

    host.add(handler("listens", json!({ "events": ["script.*"] })), &[HANDLER]).await;
    host.deploy("listens", 1).await;
    assert!(host.events().await.is_empty(), "of itself it is not told");
    host.add(json!({ "name": "watched", "type": "embedded" }), &["export default () => 1"]).await;
    host.deploy("watched", 1).await;
    for path in ["disable", "disable", "enable"] {
        host.ask("ann", "POST", &format!("/api/scripts/watched/{path}"), Value::Null).await;
    }
    host.ask("ann", "PATCH", "/api/scripts/watched", json!({ "description": "new" })).await;
    let refused = host.ask("ann", "PATCH", "/api/scripts/watched", json!({ "name": "listens" })).await;
    assert_eq!(refused.status, 409, "{}", refused.json);
    host.ask("ann", "DELETE", "/api/scripts/watched", Value::Null).await;
    let told =
        ["deleted", "updated", "enabled", "disabled", "deployed", "created"].map(|what| format!("script.{what}"));
    assert_eq!(host.events().await, told, "the latest first");

    let events = host.get("/api/events?name=script.deployed").await;
    let event = host.get(&format!("/api/events/{}", events["items"][0]["id"].as_str().unwrap())).await;
    assert_eq!((&event["source"], &event["data"]["script"]["name"]), (&json!("host"), &json!("watched")));
    assert_eq!(event["data"]["script"]["deployed"], 1);
}

async fn the_host_tells_of_failures_where_somebody_listens(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let throws = "export default () => { throw new RangeError('too far'); }";
    host.add(json!({ "name": "throws", "type": "embedded" }), &[throws]).await;
    host.deploy("throws", 1).await;
    host.add(handler("listens", json!({ "events": ["execution.failed"] })), &[throws]).await;
    host.deploy("listens", 1).await;
    let mut ids = Vec::new();
    for name in ["throws", "listens"] {
        let run = host.ask("ann", "POST", &format!("/api/scripts/{name}/run"), json!({ "input": 1 })).await;
        ids.push(run.json["id"].clone());
    }
    host.host.executions().settle().await;
    let listed = host.get("/api/events").await;
    let events = listed["items"].as_array().unwrap();
    assert_eq!(events.len(), 1, "who listens is not told of itself: {events:?}");
    let event = host.get(&format!("/api/events/{}", events[0]["id"].as_str().unwrap())).await;
    assert_eq!((&event["name"], &event["source"]), (&json!("execution.failed"), &json!("host")));
    let failed = &event["data"]["execution"];
    assert_eq!((&failed["id"], &failed["status"], &failed["trigger"]), (&ids[0], &json!("failed"), &json!("api")));
    assert_eq!(failed["error"], json!({ "name": "RangeError", "message": "too far" }));
    assert_eq!(failed["script"]["name"], "throws");
    assert_eq!(event["jobs"].as_array().unwrap().len(), 1);
}
