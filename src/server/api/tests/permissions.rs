//! Every route without the permission that it needs, and with it.

use super::webhooks::KEYS;
use super::*;

on_both_databases!(each_route_needs_its_permission_and_no_other, no_route_is_left_out);

const ALL: &[&str] = &[
    "Script.Create",
    "Script.Read",
    "Script.Update",
    "Script.Delete",
    "Script.Execute",
    "Script.Execution.Read",
    "Script.Grant",
    "Job.Read",
    "Job.Manage",
    "Secret.Manage",
    "Token.Manage",
    "Event.Publish",
    "Event.Read",
];

/// Method, route, a path of it, a body, the permission it needs, and the status
/// that somebody gets who has it and no other.
#[rustfmt::skip]
const ROUTES: &[(&str, &str, &str, &str, &str, u16)] = &[
    ("GET", "/api/scripts", "", "", "Script.Read", 200),
    ("POST", "/api/scripts", "", r#"{"name": "new", "type": "embedded"}"#, "Script.Create", 201),
    ("GET", "/api/scripts/{script}", "/api/scripts/kept", "", "Script.Read", 200),
    ("PATCH", "/api/scripts/{script}", "/api/scripts/kept", r#"{"description": "changed"}"#, "Script.Update", 200),
    ("DELETE", "/api/scripts/{script}", "/api/scripts/doomed", "", "Script.Delete", 204),
    ("POST", "/api/scripts/{script}/enable", "/api/scripts/kept/enable", "", "Script.Update", 200),
    ("POST", "/api/scripts/{script}/disable", "/api/scripts/kept/disable", "", "Script.Update", 200),
    ("GET", "/api/scripts/{script}/versions", "/api/scripts/kept/versions", "", "Script.Read", 200),
    ("POST", "/api/scripts/{script}/versions", "/api/scripts/kept/versions", r#"{"source": "export default () => 3"}"#, "Script.Update", 201),
    ("GET", "/api/scripts/{script}/versions/{number}", "/api/scripts/kept/versions/1", "", "Script.Read", 200),
    ("POST", "/api/scripts/{script}/versions/{number}/deploy", "/api/scripts/kept/versions/1/deploy", "{}", "Script.Update", 200),
    ("POST", "/api/scripts/{script}/enable", "/api/scripts/kept/enable", "", "Script.Update", 200),
    ("POST", "/api/scripts/{script}/invoke", "/api/scripts/kept/invoke", "7", "Script.Execute", 200),
    ("POST", "/api/scripts/{script}/run", "/api/scripts/kept/run", "{}", "Script.Execute", 200),
    ("GET", "/api/schedules", "", "", "Script.Read", 200),
    ("GET", "/api/schedules/{script}", "/api/schedules/timed", "", "Script.Read", 200),
    ("GET", "/api/schedules/{script}/ticks", "/api/schedules/timed/ticks", "", "Script.Read", 200),
    ("POST", "/api/schedules/{script}/pause", "/api/schedules/timed/pause", "", "Script.Update", 200),
    ("POST", "/api/schedules/{script}/resume", "/api/schedules/timed/resume", "", "Script.Update", 200),
    ("POST", "/api/schedules/{script}/run", "/api/schedules/timed/run", "", "Script.Execute", 202),
    ("GET", "/api/executions", "", "", "Script.Execution.Read", 200),
    ("GET", "/api/executions/{id}", "/api/executions/none", "", "Script.Execution.Read", 404),
    ("GET", "/api/executions/{id}/logs", "/api/executions/none/logs", "", "Script.Execution.Read", 404),
    ("POST", "/api/executions/{id}/cancel", "/api/executions/none/cancel", "", "Script.Execute", 404),
    ("GET", "/api/events", "", "", "Event.Read", 200),
    ("POST", "/api/events", "", r#"{"name": "a"}"#, "Event.Publish", 202),
    ("GET", "/api/events/{event}", "/api/events/none", "", "Event.Read", 404),
    ("GET", "/api/jobs", "", "", "Job.Read", 200),
    ("GET", "/api/jobs/{id}", "/api/jobs/none", "", "Job.Read", 404),
    ("DELETE", "/api/jobs/{id}", "/api/jobs/none", "", "Job.Manage", 404),
    ("POST", "/api/jobs/{id}/replay", "/api/jobs/none/replay", "", "Job.Manage", 404),
    ("GET", "/api/logs", "", "", "Script.Execution.Read", 200),
    ("GET", "/api/secrets", "", "", "Secret.Manage", 200),
    ("PUT", "/api/secrets/{name}", "/api/secrets/KEY", r#"{"value": "sesame"}"#, "Secret.Manage", 204),
    ("DELETE", "/api/secrets/{name}", "/api/secrets/NONE", "", "Secret.Manage", 404),
    ("GET", "/api/tokens", "", "", "Token.Manage", 200),
    ("POST", "/api/tokens", "", r#"{"name": "a", "scopes": ["Token.Manage"]}"#, "Token.Manage", 201),
    ("DELETE", "/api/tokens/{token}", "/api/tokens/none", "", "Token.Manage", 404),
    ("GET", "/api/scripts/{script}/compare", "/api/scripts/kept/compare?from=1&to=2", "", "Script.Read", 200),
];

/// Routes that everyone with a token may ask.
const FREE: &[(&str, &str)] = &[("GET", "/api/me")];

async fn each_route_needs_its_permission_and_no_other(kind: Kind) {
    let users: String = ALL
        .iter()
        .flat_map(|permission| {
            let others: Vec<&str> = ALL.iter().copied().filter(|other| other != permission).collect();
            [(format!("only {permission}"), vec![*permission]), (format!("without {permission}"), others)]
        })
        .map(|(id, permissions)| {
            let token = id.replace(' ', "-");
            format!("[[users]]\nid = \"{id}\"\ntenant = \"acme\"\ntoken = \"{token}\"\npermissions = {permissions:?}\n")
        })
        .collect();
    let host = Fixture::on(kind, &format!("{users}{KEYS}")).await;
    host.add(json!({ "name": "kept", "type": "embedded" }), &["export default () => 1", "export default () => 2"])
        .await;
    host.add(json!({ "name": "doomed", "type": "embedded" }), &[]).await;
    let timed = json!({ "name": "timed", "type": "cron", "cron": { "schedule": "0 9 * * *" } });
    host.add(timed, &["export default () => 1"]).await;
    host.deploy("timed", 1).await;

    for (method, route, path, body, permission, status) in ROUTES {
        let path = if path.is_empty() { route } else { path };
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let refused = host.ask(&format!("without-{permission}"), method, path, body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "permission_missing"), "{method} {route}");
        assert!(refused.json["detail"].as_str().unwrap().contains(permission), "{}", refused.json);
        let nobody = host.ask("", method, path, body.clone()).await;
        assert_eq!(nobody.status, 401, "{method} {route}");
        // What another tenant has is not there.
        let stranger = host.ask("gus", method, path, body.clone()).await.status;
        let collection = !route.contains('{') || *method == "PUT";
        assert!(if collection { stranger.is_success() } else { stranger == 404 }, "{method} {route}: {stranger}");
        let allowed = host.ask(&format!("only-{permission}"), method, path, body).await;
        assert_eq!(allowed.status, *status, "{method} {route}: {}", allowed.json);
    }
}

async fn no_route_is_left_out(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let document = host.ask("", "GET", DOCUMENT, Value::Null).await.json;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let listed = ROUTES.iter().any(|(known, route, ..)| *known == method && route == path);
            assert!(listed || FREE.contains(&(&method, path)), "{method} {path} is not in this table");
        }
    }
}
