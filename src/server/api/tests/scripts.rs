//! Scripts, their versions, and what is deployed.

use super::*;

on_both_databases!(
    a_script_is_added_read_changed_and_deleted,
    bodies_and_queries_are_checked,
    lists_come_in_parts,
    a_version_that_does_not_compile_is_refused_with_its_place,
    reaching_more_is_confirmed_by_who_may_grant,
    two_versions_are_compared,
    a_tenant_keeps_no_more_than_its_quota
);

async fn a_script_is_added_read_changed_and_deleted(kind: Kind) {
    let host = Fixture::on(kind, "[[service_accounts]]\nid = \"nightly\"").await;
    let draft =
        json!({ "name": "Order report", "type": "http", "http": { "path": "/orders/:id", "methods": ["get"] } });
    let answer = host.ask("ann", "POST", "/api/scripts", draft.clone()).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    let id = answer.json["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.headers["location"], format!("/api/scripts/{id}"));
    let script = host.get("/api/scripts/Order%20report").await;
    assert_eq!(script, host.get(&format!("/api/scripts/{id}")).await);
    assert_eq!(
        script["http"],
        json!({ "path": "/orders/{id}", "methods": ["GET"], "permission": null, "public": false, "webhook": null })
    );
    assert_eq!(
        (&script["deployed"], &script["latest"], &script["enabled"]),
        (&Value::Null, &Value::Null, &json!(true))
    );

    let change = json!({ "name": "orders", "http": { "permission": "orders.view" }, "limits": { "timeout": "5s" } });
    let changed = host.ask("ann", "PATCH", &format!("/api/scripts/{id}"), change).await.json;
    assert_eq!(changed["http"]["path"], "/orders/{id}");
    assert_eq!(changed["http"]["permission"], "orders.view");
    assert_eq!((&changed["name"], &changed["limits"]["timeout"]), (&json!("orders"), &json!("5s")));
    let change = json!({ "http": { "permission": null } });
    assert_eq!(host.ask("ann", "PATCH", "/api/scripts/orders", change).await.json["http"]["permission"], Value::Null);

    for (change, status, code, field) in [
        (json!({ "nam": "x" }), 422, "body_invalid", "nam"),
        (json!({ "limits": { "timeout": 5 } }), 422, "body_invalid", "limits.timeout"),
        (json!({ "limits": { "timeout": "5h" } }), 422, "body_invalid", "limits.timeout"),
        (json!({ "name": null }), 422, "body_invalid", ""),
        (json!({ "run_as": "nobody" }), 422, "body_invalid", "run_as"),
        (json!({ "confirm_capabilities": 1 }), 422, "body_invalid", "confirm_capabilities"),
        (json!([]), 422, "body_invalid", ""),
    ] {
        let answer = host.ask("ann", "PATCH", "/api/scripts/orders", change.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{change}: {}", answer.json);
        if !field.is_empty() {
            assert_eq!(answer.json["field"], field, "{change}");
        }
    }
    assert_eq!(host.ask("ann", "POST", "/api/scripts", draft.clone()).await.code(), "route_taken");
    let mut same_name = draft;
    same_name["name"] = "orders".into();
    same_name["http"]["path"] = "/other".into();
    assert_eq!(host.ask("ann", "POST", "/api/scripts", same_name.clone()).await.code(), "name_taken");
    // Names and routes are each tenant's own.
    assert_eq!(host.ask("gus", "POST", "/api/scripts", same_name).await.status, 201);

    assert_eq!(host.ask("ann", "DELETE", "/api/scripts/orders", Value::Null).await.status, 204);
    assert_eq!(host.ask("ann", "GET", "/api/scripts/orders", Value::Null).await.code(), "not_found");
    assert_eq!(host.ask("ann", "DELETE", "/api/scripts/orders", Value::Null).await.code(), "not_found");
    assert_eq!(host.ask("gus", "GET", "/api/scripts/orders", Value::Null).await.status, 200);
}

async fn bodies_and_queries_are_checked(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let send = |kind: &'static str, body: &'static str| {
        let headers = [("content-type", kind)];
        let host = &host;
        async move { host.send("ann", "POST", "/api/scripts", &headers, body.to_owned()).await }
    };
    for (kind, body, status, code) in [
        ("text/plain", r#"{"name": "a", "type": "embedded"}"#, 415, "not_json"),
        ("application/json", "", 400, "body_not_json"),
        ("application/json", r#"{"name": "a", "type": "embedded"} x"#, 400, "body_not_json"),
        ("application/json; charset=utf-8", r#"{"name": "a"}"#, 422, "body_invalid"),
        ("application/json", r#"{"name": "a", "type": "embedded", "name": "b"}"#, 422, "body_invalid"),
    ] {
        let answer = send(kind, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{kind}: {body}");
    }
    for query in ["limit=0", "limit=201", "limit=x", "limit=-1", "after=*", "after=e30", "limit=1&limit=2"] {
        let answer = host.ask("ann", "GET", &format!("/api/scripts?{query}"), Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_query"), "{query}");
    }
    assert_eq!(host.ask("ann", "GET", "/api/scripts/%ff", Value::Null).await.code(), "not_found");
}

async fn lists_come_in_parts(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    for name in ["b", "d", "a", "c", "e"] {
        host.add(json!({ "name": name, "type": "embedded" }), &[]).await;
    }
    let (mut names, mut path) = (Vec::new(), "/api/scripts?limit=2".to_owned());
    loop {
        let part = host.get(&path).await;
        let items = part["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()));
        names.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        // What is added before the place moves nothing.
        let Some(next) = part["next"].as_str() else { break };
        path = format!("/api/scripts?limit=2&after={next}");
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

async fn a_version_that_does_not_compile_is_refused_with_its_place(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    host.add(json!({ "name": "a", "type": "embedded" }), &[]).await;
    let save =
        async |source: &str| host.ask("ann", "POST", "/api/scripts/a/versions", json!({ "source": source })).await;
    let answer = save("function main() {\n    return 1 +;\n}").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "does_not_compile"));
    assert_eq!((&answer.json["line"], &answer.json["column"]), (&json!(2), &json!(15)), "{}", answer.json);
    assert!(answer.json["frame"].as_str().unwrap().contains("return 1 +;"), "{}", answer.json);
    let answer = save("const a = 1;\nnull.x;\nfunction main() {}").await;
    assert_eq!((answer.code(), &answer.json["line"]), ("does_not_compile", &json!(2)), "{}", answer.json);
    assert_eq!(save("export const a = 1;").await.code(), "does_not_compile");
    assert_eq!(host.get("/api/scripts/a/versions").await, json!({ "items": [], "next": null }));

    let saved = save("export default () => 1").await;
    assert_eq!(saved.status, 201);
    assert_eq!((&saved.json["number"], &saved.json["author"]), (&json!(1), &json!("ann")));
    assert_eq!(save("export default () => 1").await.status, 200, "the same once more is no other version");
    assert_eq!(save("export default () => 2").await.json["number"], 2);
    assert_eq!(save("export default () => 1").await.json["number"], 3, "an older one is");
    let numbers: Vec<_> = host.get("/api/scripts/a/versions").await["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["number"].clone())
        .collect();
    assert_eq!(numbers, [3, 2, 1]);
    let version = host.get("/api/scripts/a/versions/2").await;
    assert_eq!((&version["source"], &version["source_map"]), (&json!("export default () => 2"), &Value::Null));
    assert_eq!(host.ask("ann", "GET", "/api/scripts/a/versions/4", Value::Null).await.code(), "no_such_version");
    assert_eq!(host.ask("ann", "GET", "/api/scripts/a/versions/x", Value::Null).await.code(), "not_found");
}

const GRANTER: &str = "
    [[users]]
    id = 'dan'
    tenant = 'acme'
    permissions = ['Script.Create', 'Script.Read', 'Script.Update', 'Script.Execute']
    token = 'dan'
    [[service_accounts]]
    id = 'nightly'
    [[tenants]]
    id = 'initech'";

/// Dan may not grant; Ann may.
async fn reaching_more_is_confirmed_by_who_may_grant(kind: Kind) {
    let host = Fixture::on(kind, GRANTER).await;
    let sources = [
        "export default () => 1",
        "// @airlock tables: orders (read)\nexport default () => 1",
        "// @airlock tables: orders\nexport default () => 1",
        "// @airlock http: api.example.com\nexport default () => 1",
    ];
    host.add(json!({ "name": "a", "type": "embedded" }), &sources).await;
    let deploy = async |user: &str, number: u64, confirm: bool| {
        let path = format!("/api/scripts/a/versions/{number}/deploy");
        host.ask(user, "POST", &path, json!({ "confirm_capabilities": confirm })).await
    };
    assert_eq!(deploy("dan", 1, false).await.status, 200, "it reaches nothing");
    let refused = deploy("dan", 2, false).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "capabilities_unconfirmed"));
    assert_eq!(refused.json["capabilities"], json!({ "tables": ["orders (read)"] }));
    assert_eq!(deploy("dan", 2, true).await.code(), "permission_missing");
    assert_eq!(deploy("ann", 2, false).await.code(), "capabilities_unconfirmed");
    assert_eq!(host.get("/api/scripts/a").await["deployed"], 1);
    assert_eq!(deploy("ann", 2, true).await.json["deployed"], 2);
    assert_eq!(deploy("dan", 3, false).await.json["capabilities"], json!({ "tables": ["orders"] }));
    // What is declared without the word of who may grant is not reached.
    assert_eq!(deploy("dan", 4, false).await.json["deployed"], 4);
    assert_eq!(deploy("dan", 1, false).await.json["deployed"], 1, "a rollback");

    let change = async |user: &str, change: Value| host.ask(user, "PATCH", "/api/scripts/a", change).await;
    let grants = json!({ "tables": ["orders"], "http": ["*.example.com"] });
    let refused = change("dan", json!({ "grants": grants })).await;
    assert_eq!(refused.json["capabilities"], grants, "{}", refused.json);
    assert_eq!(
        change("dan", json!({ "grants": grants, "confirm_capabilities": true })).await.code(),
        "permission_missing"
    );
    assert_eq!(change("dan", json!({ "run_as": "nightly" })).await.code(), "permission_missing");
    assert_eq!(change("ann", json!({ "grants": grants, "confirm_capabilities": true })).await.status, 200);
    assert_eq!(change("ann", json!({ "run_as": "nightly" })).await.status, 200);
    assert_eq!(change("dan", json!({ "description": "about" })).await.status, 200, "it stays as it is");
    assert_eq!(change("dan", json!({ "grants": { "http": [] } })).await.status, 200, "less needs nobody");
    let named = json!({ "name": "b", "type": "embedded", "run_as": "nightly" });
    assert_eq!(host.ask("dan", "POST", "/api/scripts", named).await.code(), "permission_missing");
}

async fn two_versions_are_compared(kind: Kind) {
    let host = Fixture::on(kind, "").await;
    let sources = [
        "// @airlock tables: orders\nexport default () => 1;\n",
        "// @airlock tables: orders (read), clients\nexport default () => 2;\n",
    ];
    host.add(json!({ "name": "a", "type": "embedded" }), &sources).await;
    let compared = host.get("/api/scripts/a/compare?from=1&to=2").await;
    assert_eq!(compared["gains"], json!({ "tables": ["clients"] }));
    assert_eq!(compared["loses"], json!({ "tables": ["orders"] }));
    assert_eq!(
        compared["source"].as_str().unwrap(),
        "--- a.js\n+++ a.js\n@@ -1,2 +1,2 @@\n-// @airlock tables: orders\n-export default () => 1;\n\
         +// @airlock tables: orders (read), clients\n+export default () => 2;\n"
    );
    let compared = host.get("/api/scripts/a/compare").await;
    assert_eq!((&compared["from"], &compared["to"], &compared["loses"]), (&Value::Null, &json!(2), &json!({})));
    host.deploy("a", 2).await;
    let compared = host.get("/api/scripts/a/compare").await;
    assert_eq!((&compared["from"], &compared["source"]), (&json!(2), &json!("")));
    let answer = host.ask("ann", "GET", "/api/scripts/a/compare?from=9", Value::Null).await;
    assert_eq!(answer.code(), "no_such_version");
}

async fn a_tenant_keeps_no_more_than_its_quota(kind: Kind) {
    let host = Fixture::on(kind, "[quotas]\nscripts = 2\nscript_bytes = \"100B\"").await;
    for name in ["a", "b"] {
        host.add(json!({ "name": name, "type": "embedded" }), &[]).await;
    }
    let more = json!({ "name": "c", "type": "embedded" });
    assert_eq!(host.ask("ann", "POST", "/api/scripts", more.clone()).await.code(), "quota_exceeded");
    assert_eq!(host.ask("gus", "POST", "/api/scripts", more.clone()).await.status, 201);
    let save = async |script: &str, comment: usize| {
        let source = format!("export default () => 1 // {}", "x".repeat(comment));
        host.ask("ann", "POST", &format!("/api/scripts/{script}/versions"), json!({ "source": source })).await
    };
    assert_eq!(save("a", 40).await.status, 201);
    assert_eq!(save("b", 40).await.code(), "quota_exceeded");
    assert_eq!(host.get("/api/scripts/b").await["latest"], Value::Null);
    assert_eq!(host.ask("ann", "DELETE", "/api/scripts/a", Value::Null).await.status, 204);
    assert_eq!(save("b", 40).await.status, 201);
    assert_eq!(host.ask("ann", "POST", "/api/scripts", more).await.status, 201);
}
