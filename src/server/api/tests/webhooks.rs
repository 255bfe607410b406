//! Signed requests of other services.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::*;
use crate::capabilities::secrets::Name;
use crate::hexadecimal;
use crate::runtime::limits::Limits;

on_both_databases!(
    a_signed_request_runs_the_script_once,
    what_fails_may_be_sent_again,
    both_secrets_hold_while_one_is_replaced,
    a_webhook_is_set_by_who_may_grant,
    a_tenant_is_remembered_so_much
);

pub const KEYS: &str =
    "[secrets]\nkeys = [{ id = 'a', key = '4141414141414141414141414141414141414141414141414141414141414141' }]\n";

fn signed(key: &str, body: &str, age: i64) -> String {
    let time = chrono::Utc::now().timestamp() - age;
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    let digest = mac.chain_update(format!("{time}.{body}")).finalize().into_bytes();
    format!("t={time},v1={}", hexadecimal::encode(&digest))
}

impl Fixture {
    async fn secret(&self, tenant: &str, name: &str, value: &str) {
        let name: Name = name.parse().unwrap();
        self.host.process().secrets.set(tenant, &name, value, &Limits::default()).await.unwrap();
    }

    /// Adds a script behind `POST /api/custom/paid` for Stripe's requests.
    async fn webhook(&self, secrets: &[&str], source: &str) {
        let http = json!({ "path": "/paid", "webhook": { "scheme": "stripe", "secrets": secrets } });
        self.add(json!({ "name": "paid", "type": "http", "http": http }), &[source]).await;
        self.deploy("paid", 1).await;
    }

    async fn paid(&self, signature: &str, body: &str) -> Answer {
        let headers = [("stripe-signature", signature), ("content-type", "application/json")];
        self.send("", "POST", "/api/custom/paid", &headers, body.to_owned()).await
    }
}

async fn a_signed_request_runs_the_script_once(kind: Kind) {
    let host = Fixture::on(kind, KEYS).await;
    host.secret("acme", "STRIPE", "sesame").await;
    host.webhook(&["STRIPE"], "export default (req) => ({ body: { got: req.body.id, user: context.user } })").await;
    let body = r#"{"id":7}"#;
    let signature = signed("sesame", body, 0);
    let answer = host.paid(&signature, body).await;
    assert_eq!((answer.status.as_u16(), &answer.json), (200, &json!({ "got": 7, "user": null })));
    for (signature, body, code) in [
        (signature.clone(), body, "webhook_replayed"),
        (signature, r#"{"id":8}"#, "webhook_mismatch"),
        (signed("other", body, 0), body, "webhook_mismatch"),
        (signed("sesame", body, 301), body, "webhook_expired"),
    ] {
        let answer = host.paid(&signature, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, code));
    }
    let unsigned = host.send("", "POST", "/api/custom/paid", &[], body.to_owned()).await;
    assert_eq!((unsigned.status.as_u16(), unsigned.code()), (401, "webhook_unsigned"));
    let with_token = host.send("ann", "POST", "/api/custom/paid", &[], body.to_owned()).await;
    assert_eq!(with_token.code(), "webhook_unsigned", "a token is no signature");
    let large = "1".repeat(2 << 20);
    assert_eq!(host.paid(&signed("sesame", &large, 0), &large).await.status, 413, "before anything is reckoned");
    // As long ago as no other here, however long all this takes.
    let another = host.paid(&signed("sesame", body, 100), body).await;
    assert_eq!(another.status, 200, "signed anew");
}

async fn what_fails_may_be_sent_again(kind: Kind) {
    let host = Fixture::on(kind, KEYS).await;
    host.secret("acme", "STRIPE", "sesame").await;
    let source = "// @airlock capabilities: storage
        export default async () => {
            if (await storage.increment('tries') === 1) throw new Error('not today');
            return 'done';
        }";
    host.webhook(&["STRIPE"], source).await;
    let signature = signed("sesame", "{}", 0);
    let statuses = [
        host.paid(&signature, "{}").await.status.as_u16(),
        host.paid(&signature, "{}").await.status.as_u16(),
        host.paid(&signature, "{}").await.status.as_u16(),
    ];
    assert_eq!(statuses, [500, 200, 401]);
    let other = host.another().await;
    assert_eq!(other.paid(&signature, "{}").await.code(), "webhook_replayed", "on every host");
}

async fn both_secrets_hold_while_one_is_replaced(kind: Kind) {
    let host = Fixture::on(kind, KEYS).await;
    host.webhook(&["NEW", "OLD"], "export default () => 1").await;
    assert_eq!(host.paid(&signed("new", "1", 0), "1").await.code(), "webhook_mismatch", "neither is set");
    host.secret("acme", "OLD", "old").await;
    host.secret("globex", "NEW", "new").await;
    assert_eq!(host.paid(&signed("new", "1", 0), "1").await.code(), "webhook_mismatch", "it is another tenant's");
    assert_eq!(host.paid(&signed("old", "1", 0), "1").await.status, 200);
    host.secret("acme", "NEW", "new").await;
    assert_eq!(host.paid(&signed("old", "2", 0), "2").await.status, 200);
    assert_eq!(host.paid(&signed("new", "3", 0), "3").await.status, 200);
}

async fn a_webhook_is_set_by_who_may_grant(kind: Kind) {
    let ted =
        "[[users]]\nid = 'ted'\ntenant = 'acme'\ntoken = 'ted'\npermissions = ['Script.Create', 'Script.Update']\n";
    let host = Fixture::on(kind, &format!("{ted}{KEYS}")).await;
    let http = json!({ "webhook": { "scheme": "github", "secrets": ["KEY"] } });
    let draft = json!({ "name": "hook", "type": "http", "http": http });
    let refused = host.ask("ted", "POST", "/api/scripts", draft.clone()).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "permission_missing"));
    host.add(json!({ "name": "hook", "type": "http" }), &[]).await;
    let refused = host.ask("ted", "PATCH", "/api/scripts/hook", json!({ "http": http })).await;
    assert_eq!(refused.code(), "permission_missing");
    assert_eq!(host.ask("ann", "PATCH", "/api/scripts/hook", json!({ "http": http })).await.status, 200);
    let described = host.ask("ted", "PATCH", "/api/scripts/hook", json!({ "description": "ours" })).await;
    assert_eq!(described.status, 200, "what is set already stays");
    assert_eq!(described.json["http"]["webhook"]["scheme"], "github");
    let unsound = json!({ "http": { "webhook": { "scheme": "stripe", "tolerance": "2d" } } });
    let refused = host.ask("ann", "PATCH", "/api/scripts/hook", unsound).await;
    assert_eq!((refused.code(), &refused.json["field"]), ("body_invalid", &json!("http.webhook.tolerance")));
}

async fn a_tenant_is_remembered_so_much(kind: Kind) {
    let host = Fixture::on(kind, &format!("[quotas]\nwebhook_deliveries = 1\n{KEYS}")).await;
    host.secret("acme", "STRIPE", "sesame").await;
    host.webhook(&["STRIPE"], "export default () => 1").await;
    assert_eq!(host.paid(&signed("sesame", "1", 0), "1").await.status, 200);
    let refused = host.paid(&signed("sesame", "2", 0), "2").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "quota_exceeded"));
}
