//! What starts scripts: calls, runs, and HTTP endpoints of stored scripts.

use super::*;

on_both_databases!(
    a_run_says_how_far_it_is,
    an_application_calls_a_script,
    a_run_says_how_it_ended,
    a_stored_script_answers_http_requests,
    scripts_of_the_settings_are_only_read
);

const EMBEDDED: &str = "
    [[scripts]]
    name = 'double'
    file = 'double.js'
    [[users]]
    id = 'app'
    tenant = 'acme'
    permissions = ['Script.Execute']
    token = 'app'";

async fn an_application_calls_a_script(kind: Kind) {
    let host = Fixture::on(kind, EMBEDDED).await;
    let validate = "export default (order) => {
        if (order === null) throw new TypeError('there is no order');
        return { valid: order.total > 0, errors: order.total > 0 ? [] : ['no total'], who: context.user.id };
    }";
    host.add(json!({ "name": "validate", "type": "embedded" }), &[validate]).await;
    let call = async |path: &str, body: Value| host.ask("app", "POST", path, body).await;
    assert_eq!(call("/api/scripts/validate/invoke", json!({})).await.code(), "not_deployed");
    host.deploy("validate", 1).await;
    let answer = call("/api/scripts/validate/invoke", json!({ "total": 0 })).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json),
        (200, &json!({ "valid": false, "errors": ["no total"], "who": "app" }))
    );
    assert_eq!(call("/api/scripts/double/invoke", json!(21)).await.json, 42, "one of the settings");

    let failed = host.send("app", "POST", "/api/scripts/validate/invoke", &[], String::new()).await;
    assert_eq!((failed.status.as_u16(), failed.code(), &failed.json["error"]), (422, "script_failed", &Value::Null));
    let failed = host.send("ann", "POST", "/api/scripts/validate/invoke", &[], String::new()).await;
    assert_eq!(failed.json["error"]["message"], "there is no order", "Ann may read executions");
    assert_eq!(failed.json["error"]["line"], 2);
    let headers = [("content-type", "application/json")];
    let broken = host.send("app", "POST", "/api/scripts/validate/invoke", &headers, "{".to_owned()).await;
    assert_eq!(broken.code(), "body_not_json");
    assert_eq!(call("/api/scripts/nothing/invoke", json!({})).await.code(), "not_found");

    assert_eq!(host.ask("ann", "POST", "/api/scripts/validate/disable", Value::Null).await.status, 200);
    assert_eq!(call("/api/scripts/validate/invoke", json!({})).await.code(), "script_disabled");
    assert_eq!(call("/api/scripts/validate/run", json!({})).await.code(), "script_disabled");
    assert_eq!(host.ask("ann", "POST", "/api/scripts/validate/enable", Value::Null).await.status, 200);
    assert_eq!(call("/api/scripts/validate/invoke", json!({ "total": 1 })).await.json["valid"], true);
}

async fn a_run_says_how_it_ended(kind: Kind) {
    let host = Fixture::on(kind, EMBEDDED).await;
    let sources = [
        "export default (input) => { console.info('began'); return { version: 1, input }; }\nexport const other = () => 'o';",
        "export default (input) => { throw new RangeError('never'); }",
        "// @airlock tables: orders\nexport default () => 3",
    ];
    host.add(json!({ "name": "a", "type": "oneoff" }), &sources).await;
    host.deploy("a", 1).await;
    let run = async |body: Value| host.ask("app", "POST", "/api/scripts/a/run", body).await;
    let ended = run(json!({ "input": { "n": 12345678901234567890_u64 } })).await;
    assert_eq!(ended.json["status"], "completed", "{}", ended.json);
    assert_eq!(ended.json["id"], ended.headers["x-execution-id"].to_str().unwrap());
    assert_eq!(ended.json["version"], 1);
    assert_eq!(ended.json["logs"][0]["message"], "began");
    assert!(ended.json["fuel"].as_u64().unwrap() > 0);
    assert_eq!(run(json!({ "entry": "other" })).await.json["result"], "o");
    let failed = run(json!({ "version": 2 })).await;
    assert_eq!((failed.status.as_u16(), &failed.json["status"]), (200, &json!("failed")));
    assert_eq!((&failed.json["error"]["name"], &failed.json["error"]["line"]), (&json!("RangeError"), &json!(1)));
    assert_eq!(run(json!({})).await.json["result"]["version"], 1, "a trial deploys nothing");
    // What was not confirmed is not reached by a trial either.
    assert_eq!(run(json!({ "version": 3 })).await.code(), "permission_missing");
    assert_eq!(host.ask("ann", "POST", "/api/scripts/a/run", json!({ "version": 3 })).await.json["result"], 3);
    assert_eq!(run(json!({ "version": 9 })).await.code(), "no_such_version");
    assert_eq!(run(json!({ "versions": 1 })).await.code(), "body_invalid");

    let accepted = run(json!({ "wait": false })).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(accepted.headers["location"], format!("/api/executions/{}", accepted.json["id"].as_str().unwrap()));
}

async fn a_stored_script_answers_http_requests(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let draft = json!({ "name": "orders", "type": "http", "http": { "path": "/orders/{id}", "methods": ["GET"] } });
    let sources = [
        "export default (req) => ({ version: 1, id: req.params.id, script: context.script.id })",
        "export default (req) => ({ version: 2 })",
    ];
    let get = async |user: &str, path: &str| host.ask(user, "GET", path, Value::Null).await;
    host.add(draft, &sources).await;
    assert_eq!(get("ann", "/api/custom/orders/7").await.code(), "not_found", "nothing is deployed");
    host.deploy("orders", 1).await;
    let id = host.get("/api/scripts/orders").await["id"].clone();
    assert_eq!(get("ann", "/api/custom/orders/7").await.json, json!({ "version": 1, "id": "7", "script": id }));
    assert_eq!(get("gus", "/api/custom/orders/7").await.code(), "not_found", "another tenant");
    assert_eq!(get("", "/api/custom/orders/7").await.code(), "unauthorized");
    assert_eq!(host.ask("ann", "POST", "/api/custom/orders/7", json!({})).await.code(), "method_not_allowed");

    let other = host.another().await;
    host.deploy("orders", 2).await;
    assert_eq!(get("ann", "/api/custom/orders/7").await.json["version"], 2);
    other.host.library().look().await.unwrap();
    assert_eq!(other.ask("ann", "GET", "/api/custom/orders/7", Value::Null).await.json["version"], 2);
    host.deploy("orders", 1).await;
    assert_eq!(get("ann", "/api/custom/orders/7").await.json["version"], 1, "rolled back");

    let change = json!({ "http": { "path": "/purchases/{id}", "permission": "orders.view" } });
    assert_eq!(host.ask("ann", "PATCH", "/api/scripts/orders", change).await.status, 200);
    assert_eq!(get("ann", "/api/custom/orders/7").await.code(), "not_found");
    assert_eq!(get("ann", "/api/custom/purchases/7").await.json["version"], 1);
    assert_eq!(get("nobody", "/api/custom/purchases/7").await.code(), "permission_missing");
    let change = json!({ "http": { "permission": null, "public": true } });
    assert_eq!(host.ask("ann", "PATCH", "/api/scripts/orders", change).await.status, 200);
    assert_eq!(get("", "/api/custom/purchases/7").await.json["version"], 1);
    assert_eq!(host.ask("ann", "POST", "/api/scripts/orders/disable", Value::Null).await.status, 200);
    assert_eq!(get("ann", "/api/custom/purchases/7").await.code(), "not_found");
    assert_eq!(host.ask("ann", "POST", "/api/scripts/orders/enable", Value::Null).await.status, 200);
    assert_eq!(get("ann", "/api/custom/purchases/7").await.json["version"], 1);
    assert_eq!(host.ask("ann", "DELETE", "/api/scripts/orders", Value::Null).await.status, 204);
    assert_eq!(get("ann", "/api/custom/purchases/7").await.code(), "not_found");
}

async fn scripts_of_the_settings_are_only_read(kind: Kind) {
    let more = "[[scripts]]\nname = 'double'\nfile = 'double.js'\ntype = 'http'\npath = '/double'\ntenants = ['acme']";
    let host = Fixture::on(kind, more).await;
    host.add(json!({ "name": "another", "type": "embedded" }), &[]).await;
    let names: Vec<_> = host.get("/api/scripts").await["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|script| (script["name"].clone(), script["origin"].clone()))
        .collect();
    assert_eq!(names, [(json!("another"), json!("stored")), (json!("double"), json!("settings"))]);
    assert_eq!(host.get("/api/scripts/double").await["http"]["path"], "/double");
    for (method, path, body) in [
        ("PATCH", "/api/scripts/double", json!({ "description": "x" })),
        ("DELETE", "/api/scripts/double", Value::Null),
        ("POST", "/api/scripts/double/disable", Value::Null),
        ("POST", "/api/scripts/double/versions", json!({ "source": "" })),
        ("POST", "/api/scripts/double/versions/1/deploy", json!({})),
        ("GET", "/api/scripts/double/compare", Value::Null),
    ] {
        assert_eq!(host.ask("ann", method, path, body).await.code(), "script_of_settings", "{method} {path}");
    }
    let named = json!({ "name": "double", "type": "embedded" });
    assert_eq!(host.ask("ann", "POST", "/api/scripts", named).await.code(), "name_taken");
    let routed = json!({ "name": "b", "type": "http", "http": { "path": "/double", "methods": ["POST"] } });
    assert_eq!(host.ask("ann", "POST", "/api/scripts", routed.clone()).await.code(), "route_taken");
    assert_eq!(host.ask("gus", "POST", "/api/scripts", routed).await.status, 201, "it is acme's alone");
}

async fn a_run_says_how_far_it_is(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let source = "export default (total) => {
        console.log('begins');
        if (total === null) throw new RangeError('of nothing');
        for (let done = 1; done <= total; done += 1) execution.progress(done, total, `order ${done}`);
        return total;
    }";
    host.add(json!({ "name": "long", "type": "embedded" }), &[source]).await;
    host.deploy("long", 1).await;
    let run = async |body: Value| {
        let headers = [("content-type", "application/json"), ("accept", "text/event-stream")];
        host.send("ann", "POST", "/api/scripts/long/run", &headers, body.to_string()).await
    };
    let events = |text: &str| -> Vec<(String, Value)> {
        let event = |text: &str| {
            let (kind, data) = text.strip_prefix("event: ")?.split_once("\ndata: ")?;
            Some((kind.to_owned(), serde_json::from_str(data).unwrap()))
        };
        text.split("\n\n").filter_map(event).collect()
    };
    let answer = run(json!({ "input": 300 })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let events_of_it = events(&answer.text);
    let [.., (progress, said), (end, ended)] = events_of_it.as_slice() else { panic!("{}", answer.text) };
    assert_eq!((progress.as_str(), end.as_str()), ("progress", "end"));
    assert_eq!(*said, json!({ "done": 300.0, "total": 300.0, "message": "order 300" }));
    assert!(events_of_it.len() < 10, "what is said often is told seldom");
    assert_eq!((&ended["status"], &ended["result"]), (&json!("completed"), &json!(300)));
    assert_eq!(ended["logs"][0]["message"], "begins");

    let failed = events(&run(json!({})).await.text);
    assert_eq!((failed[0].0.as_str(), &failed[0].1["error"]["name"]), ("end", &json!("RangeError")));
    // What is refused before it begins is no stream.
    let refused = run(json!({ "version": 7 })).await;
    assert_eq!(refused.status, 404, "{}", refused.text);
}
