//! Tokens that users make.

use super::*;

on_both_databases!(a_token_does_what_its_scopes_and_its_user_allow, a_signed_token_says_who_calls);

async fn a_token_does_what_its_scopes_and_its_user_allow(kind: Kind) {
    let host = Fixture::on(kind,
        "[[users]]\nid = 'dan'\ntenant = 'acme'\ntoken = 'dan'\npermissions = ['Token.Manage', 'Script.*', 'orders.view']",
    )
    .await;
    let asks = "export default () => context.user.permissions";
    host.add(json!({ "name": "asks", "type": "embedded" }), &[asks]).await;
    host.deploy("asks", 1).await;
    let make = async |scopes: Value| {
        host.ask("dan", "POST", "/api/tokens", json!({ "name": "ci", "scopes": scopes, "expires_in_days": 1 })).await
    };
    let made = make(json!(["Script.Read", "Script.Execute"])).await;
    assert_eq!(made.status, 201, "{}", made.json);
    let token = made.json["token"].as_str().unwrap();
    let me = host.ask(token, "GET", "/api/me", Value::Null).await.json;
    assert_eq!((&me["user"], &me["permissions"]), (&json!("dan"), &json!(["Script.Read", "Script.Execute"])));
    assert_eq!(host.ask(token, "GET", "/api/scripts/asks", Value::Null).await.status, 200);
    assert_eq!(host.ask(token, "DELETE", "/api/scripts/asks", Value::Null).await.code(), "permission_missing");
    assert_eq!(host.ask(token, "GET", "/api/tokens", Value::Null).await.code(), "permission_missing");
    let seen = host.ask(token, "POST", "/api/scripts/asks/invoke", Value::Null).await.json;
    assert_eq!(seen, json!(["Script.Read", "Script.Execute"]), "a script that it calls has no more");

    // What somebody loses, their tokens lose.
    let gus = host.host.people().user("globex", "gus").unwrap();
    let dan = host.host.people().user("acme", "dan").unwrap();
    let permissions = crate::tenant::Permissions::new(["Script.Read".to_owned()]);
    host.host.people().replace([("acme".to_owned(), crate::tenant::User { permissions, ..dan.clone() })], []);
    assert_eq!(host.ask(token, "POST", "/api/scripts/asks/invoke", Value::Null).await.code(), "permission_missing");
    host.host.people().replace([], []);
    assert_eq!(host.ask(token, "GET", "/api/me", Value::Null).await.code(), "unauthorized", "Dan has left");
    host.host.people().replace([("acme".to_owned(), dan), ("globex".to_owned(), gus)], []);

    for (scopes, status) in [
        (json!(["clients.view"]), 403),
        (json!(["*"]), 403),
        (json!(["orders.*"]), 403),
        (json!(["Script.*"]), 201),
        (json!([]), 422),
        (json!("Script.Read"), 422),
    ] {
        assert_eq!(make(scopes.clone()).await.status, status, "{scopes}");
    }
    for body in [
        json!({ "name": "", "scopes": ["Script.Read"] }),
        json!({ "name": "a", "scopes": ["Script.Read"], "expires_in_days": 0 }),
        json!({ "name": "a", "scopes": ["Script.Read"], "user": "ann" }),
    ] {
        assert_eq!(host.ask("dan", "POST", "/api/tokens", body.clone()).await.code(), "body_invalid", "{body}");
    }

    let listed = host.ask("dan", "GET", "/api/tokens", Value::Null).await.json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(token), "{listed}");
    let path = format!("/api/tokens/{}", made.json["id"].as_str().unwrap());
    assert_eq!(host.ask("gus", "DELETE", &path, Value::Null).await.code(), "not_found");
    assert_eq!(host.ask("dan", "DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(host.ask(token, "GET", "/api/me", Value::Null).await.code(), "unauthorized");
}

/// Signed with a secret that stands in a file of the host's.
fn signed(claims: &Value) -> String {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let text = format!("{}.{}", b64(br#"{"alg":"HS256"}"#), b64(claims.to_string().as_bytes()));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[b'k'; 32]);
    format!("{text}.{}", b64(ring::hmac::sign(&key, text.as_bytes()).as_ref()))
}

async fn a_signed_token_says_who_calls(kind: Kind) {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), r#"{"keys":[{"kty":"oct","k":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s"}]}"#)
        .unwrap();
    let more = format!("[auth.jwt]\njwks_file = {:?}\nissuer = \"id\"\naudience = \"airlock\"", keys.path());
    let host = Fixture::on(kind, &more).await;
    host.add(json!({ "name": "asks", "type": "embedded" }), &["export default () => context.user"]).await;
    host.deploy("asks", 1).await;
    let exp = chrono::Utc::now().timestamp() + 60;
    let claims = json!({ "iss": "id", "aud": "airlock", "exp": exp, "sub": "u-7", "tenant": "acme",
        "permissions": ["Script.Execute", "Script.Read", "Token.Manage"] });
    let ada = signed(&claims);
    assert_eq!(host.ask(&ada, "GET", "/api/scripts/asks", Value::Null).await.status, 200);
    assert_eq!(host.ask(&ada, "DELETE", "/api/scripts/asks", Value::Null).await.code(), "permission_missing");
    let seen = host.ask(&ada, "POST", "/api/scripts/asks/invoke", Value::Null).await.json;
    assert_eq!((&seen["id"], &seen["permissions"]), (&json!("u-7"), &claims["permissions"]));
    let mut elsewhere = claims.clone();
    elsewhere["tenant"] = "nowhere".into();
    assert_eq!(host.ask(&signed(&elsewhere), "GET", "/api/me", Value::Null).await.code(), "unauthorized");

    // A token of theirs has what they had when it was made.
    let made = host.ask(&ada, "POST", "/api/tokens", json!({ "name": "a", "scopes": ["Script.Execute"] })).await.json;
    let token = made["token"].as_str().unwrap();
    let seen = host.ask(token, "POST", "/api/scripts/asks/invoke", Value::Null).await.json;
    assert_eq!((&seen["id"], &seen["permissions"]), (&json!("u-7"), &json!(["Script.Execute"])));
}
