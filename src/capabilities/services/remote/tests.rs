//! Against a backend that verifies as the README says, over real sockets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::capabilities::http;
use crate::runtime::trace::Trace;
use crate::store::fixture::identity;
use crate::tenant::{Identity, Permissions};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// What a backend was sent.
#[derive(Clone)]
struct Received {
    method: String,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The recipe of the README, written anew: what the host computes must not
    /// verify itself.
    fn is_signed_with(&self, key: &str) -> bool {
        use hmac::{Hmac, Mac};
        use sha2::{Digest, Sha256};
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let names = ["timestamp", "tenant", "user", "permissions", "script", "execution"];
        let mut lines = vec!["v1".to_owned(), self.method.clone(), self.path.clone()];
        lines.extend(names.map(|name| self.header(&format!("airlock-{name}")).to_owned()));
        lines.push(self.header("idempotency-key").to_owned());
        lines.push(hex(&Sha256::digest(&self.body)));
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(lines.join("\n").as_bytes());
        self.header("airlock-signature") == format!("v1={}", hex(&mac.finalize().into_bytes()))
    }
}

#[derive(Clone, Default)]
struct Peer {
    received: Arc<Mutex<Vec<Received>>>,
    /// What is answered next; `{}` once they are used up.
    answers: Arc<Mutex<VecDeque<Response>>>,
    url: String,
}

impl Peer {
    async fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/", listener.local_addr().unwrap());
        let peer = Peer { url, ..Peer::default() };
        let app = axum::Router::new().fallback(take).with_state(peer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        peer
    }

    fn answers(&self, answers: impl IntoIterator<Item = Response>) {
        self.answers.lock().unwrap().extend(answers);
    }

    fn received(&self) -> Vec<Received> {
        std::mem::take(&mut self.received.lock().unwrap())
    }

    fn backend(&self) -> Backend {
        backend(&self.url)
    }
}

async fn take(State(peer): State<Peer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().unwrap().to_string();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    peer.received.lock().unwrap().push(Received { method: head.method.to_string(), path, headers: head.headers, body });
    peer.answers.lock().unwrap().pop_front().unwrap_or_else(|| answer(200, &[], "{}"))
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(body.into()).unwrap()
}

fn backend(url: &str) -> Backend {
    let mut backend = Backend::new(url, SigningKey::new(KEY).unwrap()).unwrap();
    backend.pause = Duration::ZERO;
    for (name, method, path, idempotent) in [
        ("list", "GET", "/orders", false),
        ("get", "GET", "/orders/{id}", false),
        ("create", "POST", "/orders", false),
        ("update", "PATCH", "/orders/{id}", false),
        ("replace", "PUT", "/orders/{id}", false),
        ("delete", "DELETE", "/orders/{id}", false),
        ("charge", "POST", "/orders/{id}/charges", true),
    ] {
        backend = backend.with(name, Endpoint::new(method, path, idempotent).unwrap());
    }
    backend
}

async fn call(backend: &Backend, limits: &Limits, method: &str, arguments: Json) -> Result<Json, Refused> {
    let client = http::backend_client().unwrap();
    let Json::Array(arguments) = arguments else { panic!("arguments are an array") };
    backend.call(&client, "shop", Caller { identity: &identity("acme"), trace: None }, limits, method, arguments).await
}

async fn ask(backend: &Backend, method: &str, arguments: Json) -> Result<Json, Refused> {
    call(backend, &Limits::default(), method, arguments).await
}

fn said(result: Result<Json, Refused>) -> (Option<String>, Option<u16>, String) {
    match result.unwrap_err() {
        Refused::Service(error) => (error.code, error.status, error.message),
        Refused::Failure(failure) => panic!("the host refused it: {failure:?}"),
    }
}

fn failure(result: Result<Json, Refused>) -> Failure {
    match result.unwrap_err() {
        Refused::Failure(failure) => failure,
        Refused::Service(error) => panic!("the service refused it: {error:?}"),
    }
}

#[tokio::test]
async fn a_method_and_its_arguments_become_a_request() {
    let peer = Peer::start().await;
    let backend = peer.backend();
    for (method, arguments, request, body) in [
        ("list", json!([]), "GET /api/orders", ""),
        ("list", json!([null]), "GET /api/orders", ""),
        ("list", json!([{}]), "GET /api/orders", ""),
        (
            "list",
            json!([{ "limit": 10, "name": "a&b=c", "open": true, "none": null, "filters": [{ "field": "id" }] }]),
            "GET /api/orders?limit=10&name=a%26b%3Dc&open=true&filters=%5B%7B%22field%22%3A%22id%22%7D%5D",
            "",
        ),
        ("get", json!([7]), "GET /api/orders/7", ""),
        ("get", json!(["../../admin?x"]), "GET /api/orders/..%2F..%2Fadmin%3Fx", ""),
        ("get", json!([7, { "expand": "items" }]), "GET /api/orders/7?expand=items", ""),
        ("create", json!([{ "total": 1.5, "note": "grüße" }]), "POST /api/orders", r#"{"total":1.5,"note":"grüße"}"#),
        ("create", json!([[1, 2]]), "POST /api/orders", "[1,2]"),
        ("create", json!([]), "POST /api/orders", ""),
        ("update", json!(["a b", { "total": 2 }]), "PATCH /api/orders/a%20b", r#"{"total":2}"#),
        ("delete", json!([7]), "DELETE /api/orders/7", ""),
        ("charge", json!([7, { "amount": 5 }]), "POST /api/orders/7/charges", r#"{"amount":5}"#),
    ] {
        assert_eq!(ask(&backend, method, arguments.clone()).await.ok(), Some(json!({})), "{method} {arguments}");
        let received = peer.received().remove(0);
        assert_eq!(format!("{} {}", received.method, received.path), request);
        assert_eq!(String::from_utf8_lossy(&received.body), body);
        assert_eq!(received.header("content-type"), if body.is_empty() { "" } else { "application/json" });
        assert_eq!(received.header("accept"), "application/json");
        assert_eq!(received.header("idempotency-key").is_empty(), method != "charge");
        assert!(received.is_signed_with(KEY), "{request}");
    }
    for (method, arguments, message) in [
        ("get", json!([]), "services.shop.get needs the id"),
        ("get", json!([".."]), "services.shop.get needs the id"),
        ("get", json!([7, {}, 8]), "services.shop.get takes at most 2 arguments"),
        ("list", json!(["all"]), "services.shop.list takes an object of what to ask for"),
        ("list", json!([{ "a": "x".repeat(URL_BYTES) }]), "an address of more than"),
        ("chrge", json!([]), "the service `shop` has no method `chrge`; did you mean `charge`?"),
        ("constructor", json!([]), "the service `shop` has no method `constructor`"),
    ] {
        let failure = failure(ask(&backend, method, arguments).await);
        assert!(failure.name == "TypeError" && failure.message.contains(message), "{failure:?}");
    }
    assert!(peer.received().is_empty(), "what is refused is not sent");
}

#[tokio::test]
async fn a_signature_covers_who_calls_and_what_is_asked() {
    let peer = Peer::start().await;
    let client = http::backend_client().unwrap();
    let mut caller = (*identity("acme")).clone();
    caller.tenant.id = "a\ntenant: x".into();
    if let Some(user) = &mut caller.user {
        user.id = "ünï\r\nairlock-tenant: globex".into();
        user.permissions = Permissions::new(["orders.view".into(), "re,ports.*".into(), "100%".into()]);
    }
    let limits = Limits::default();
    let arguments = vec![json!(7), json!({ "amount": 5 })];
    let trace = Trace::of("0190163d-8694-7398-9a53-b2f3ea0b5c1d", None);
    peer.backend()
        .call(&client, "shop", Caller { identity: &caller, trace }, &limits, "charge", arguments)
        .await
        .unwrap_or_default();
    let sent = peer.received().remove(0);
    assert!(sent.is_signed_with(KEY) && !sent.is_signed_with("another key"));
    for (name, value) in [
        ("airlock-tenant", "a%0Atenant:%20x"),
        ("airlock-user", "%C3%BCn%C3%AF%0D%0Aairlock-tenant:%20globex"),
        ("airlock-permissions", "orders.view,re%2Cports.*,100%25"),
        ("airlock-script", "script-1"),
        ("airlock-execution", "execution-1"),
    ] {
        assert_eq!(sent.header(name), value);
        assert_eq!(sent.headers.get_all(name).iter().count(), 1, "{name}");
    }
    let now = chrono::Utc::now().timestamp();
    assert!((now - sent.header("airlock-timestamp").parse::<i64>().unwrap()).abs() < 60);

    let tampered = |change: fn(&mut Received)| {
        let mut received = sent.clone();
        change(&mut received);
        assert!(!received.is_signed_with(KEY), "{} {}", received.method, received.path);
    };
    tampered(|sent| sent.method = "PUT".into());
    tampered(|sent| sent.path = "/api/orders/8/charges".into());
    tampered(|sent| sent.path += "?a=b");
    tampered(|sent| sent.body[0] ^= 1);
    tampered(|sent| sent.body.clear());
    for name in ["timestamp", "tenant", "user", "permissions", "script", "execution"] {
        let mut received = sent.clone();
        let name: axum::http::HeaderName = format!("airlock-{name}").parse().unwrap();
        received.headers.insert(name.clone(), "other".parse().unwrap());
        assert!(!received.is_signed_with(KEY), "{name}");
        received.headers.remove(&name);
        assert!(!received.is_signed_with(KEY), "{name}");
    }

    // Where nobody is signed in, no user is named.
    caller.user = None;
    ask_as(&peer, &caller).await;
    let sent = peer.received().remove(0);
    assert!(sent.is_signed_with(KEY));
    assert!(!sent.headers.contains_key("airlock-user") && !sent.headers.contains_key("airlock-permissions"));
    assert!(!sent.headers.contains_key("idempotency-key"));
}

async fn ask_as(peer: &Peer, caller: &Identity) {
    let client = http::backend_client().unwrap();
    let answer = peer
        .backend()
        .call(&client, "shop", Caller { identity: caller, trace: None }, &Limits::default(), "list", Vec::new())
        .await;
    assert!(answer.is_ok());
}

#[tokio::test]
async fn more_permissions_than_a_header_carries_are_not_sent() {
    let peer = Peer::start().await;
    let client = http::backend_client().unwrap();
    let mut caller = (*identity("acme")).clone();
    if let Some(user) = &mut caller.user {
        user.permissions = Permissions::new((0..1000).map(|n| format!("permission.of.a.long.name.{n}")));
    }
    let result = peer
        .backend()
        .call(&client, "shop", Caller { identity: &caller, trace: None }, &Limits::default(), "list", Vec::new())
        .await;
    assert_eq!(failure(result).name, "InternalError");
    assert!(peer.received().is_empty());
}

/// The method, what is answered; how often it is asked, and whether it succeeds.
#[rustfmt::skip]
const REPEATED: &[(&str, &[u16], usize, bool)] = &[
    ("get", &[503, 502, 200], 3, true),
    ("get", &[504, 200], 2, true),
    ("get", &[503, 503, 503, 200], 3, false),
    ("get", &[429, 200], 2, true),
    ("delete", &[503, 200], 2, true),
    ("replace", &[503, 200], 2, true),
    ("charge", &[503, 200], 2, true),
    // Once may be all that they bear.
    ("create", &[503, 200], 1, false),
    ("update", &[503, 200], 1, false),
    // These do not pass.
    ("get", &[500, 200], 1, false),
    ("get", &[501, 200], 1, false),
    ("get", &[404, 200], 1, false),
    ("get", &[302, 200], 1, false),
];

#[tokio::test]
async fn only_what_may_be_repeated_is_asked_again() {
    for (method, statuses, asked, succeeds) in REPEATED {
        let peer = Peer::start().await;
        let elsewhere = [("location", "/api/elsewhere")];
        peer.answers(statuses.iter().map(|status| answer(*status, &elsewhere, "{}")));
        let arguments = if *method == "create" { json!([{}]) } else { json!([7]) };
        let result = ask(&peer.backend(), method, arguments).await;
        assert_eq!(result.is_ok(), *succeeds, "{method} {statuses:?}");
        let received = peer.received();
        assert_eq!(received.len(), *asked, "{method} {statuses:?}");
        let key = received[0].header("idempotency-key").to_owned();
        assert!(received.iter().all(|one| one.is_signed_with(KEY) && one.header("idempotency-key") == key));
        assert!(received.iter().all(|one| !one.path.contains("elsewhere")), "a redirect is not followed");
    }
}

#[tokio::test]
async fn a_backend_that_asks_for_more_patience_than_there_is_is_left_alone() {
    let peer = Peer::start().await;
    peer.answers([answer(503, &[("retry-after", "120")], ""), answer(200, &[], "{}")]);
    assert_eq!(said(ask(&peer.backend(), "get", json!([7])).await).1, Some(503));
    assert_eq!(peer.received().len(), 1);
}

#[test]
fn pauses_grow_and_differ() {
    let base = Duration::from_millis(200);
    let ms = |attempts, random, asked: Option<u64>| {
        pause(base, attempts, random, asked.map(Duration::from_secs)).map(|pause| pause.as_millis())
    };
    assert_eq!([ms(1, 0.0, None), ms(1, 1.0, None)], [Some(100), Some(300)]);
    assert_eq!([ms(2, 0.0, None), ms(2, 1.0, None)], [Some(200), Some(600)]);
    assert_eq!([ms(3, 0.5, None), ms(100, 1.0, None), ms(u32::MAX, 0.0, None)], [Some(800), Some(2000), Some(2000)]);
    assert_eq!([ms(1, 0.5, Some(1)), ms(1, 0.5, Some(0)), ms(1, 0.5, Some(3))], [Some(1000), Some(200), None]);
}

#[tokio::test]
async fn answers_are_read_as_json_and_errors_tell_no_more_than_they_should() {
    let peer = Peer::start().await;
    let mut backend = peer.backend();
    backend.retries = 0;
    let secret = r#"{"message":"at /srv/app.js: password hunter2","code":"leak"}"#;
    for (status, body, expected) in [
        (200, r#"{"a":[1,null]}"#, Ok(json!({ "a": [1, null] }))),
        (201, "7", Ok(json!(7))),
        (204, "", Ok(Json::Null)),
        (200, "", Ok(Json::Null)),
        (200, "<html>", Err((Some("bad_answer"), "answered with what it should not"))),
        (200, "{\"a\":", Err((Some("bad_answer"), "answered with what it should not"))),
        (302, "", Err((Some("bad_answer"), "answered with what it should not"))),
        (404, r#"{"code":"gone","message":"no such order"}"#, Err((Some("gone"), "no such order"))),
        (422, r#"{"error":{"code":"low","message":"too little"}}"#, Err((Some("low"), "too little"))),
        (400, "nonsense", Err((None, "answered with 400 Bad Request"))),
        (500, secret, Err((Some("unavailable"), "the host's log has the reason"))),
        (503, secret, Err((Some("unavailable"), "the host's log has the reason"))),
    ] {
        peer.answers([answer(status, &[("location", "/x")], body)]);
        let result = ask(&backend, "get", json!([7])).await;
        match expected {
            Ok(value) => assert_eq!(result.ok(), Some(value), "{status} {body}"),
            Err((code, message)) => {
                let (told_code, told_status, told) = said(result);
                assert_eq!((told_code.as_deref(), told_status), (code, Some(status)), "{body}");
                assert!(told.contains(message) && !told.contains("hunter2"), "{told}");
            }
        }
    }
    let deep = "[".repeat(100_000);
    peer.answers([answer(200, &[], deep)]);
    assert_eq!(said(ask(&backend, "get", json!([7])).await).0.as_deref(), Some("bad_answer"));
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time() {
    let peer = Peer::start().await;
    let mut backend = peer.backend();
    backend.retries = 0;
    let limits = Limits { service_bytes: 1000, ..Limits::default() };
    let endless = || {
        let chunk = Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b' '; 4096]));
        Body::from_stream(futures_util::stream::repeat_with(move || chunk.clone()))
    };
    for body in [Body::from(" ".repeat(1001)), endless()] {
        peer.answers([answer(200, &[], body)]);
        let failure = failure(call(&backend, &limits, "get", json!([7])).await);
        assert_eq!(failure.limit.unwrap().setting, "limits.service_bytes");
    }
    // An error's body is not worth more, and the error remains.
    peer.answers([answer(404, &[], endless())]);
    assert_eq!(said(call(&backend, &limits, "get", json!([7])).await).1, Some(404));

    backend.timeout = Duration::from_millis(60);
    peer.answers([answer(
        200,
        &[],
        Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()),
    )]);
    let (code, _, message) = said(ask(&backend, "get", json!([7])).await);
    assert_eq!((code.as_deref(), message.as_str()), (Some("timeout"), "the service `shop` took longer than 60ms"));
}

#[tokio::test]
async fn a_backend_that_is_not_there_or_breaks_off_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *counted.lock().unwrap() += 1;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{").await;
        }
    });
    let unavailable = |result| {
        let (code, _, message) = said(result);
        assert_eq!(code.as_deref(), Some("unavailable"));
        assert!(!message.contains("127.0.0.1"), "{message}");
    };
    unavailable(ask(&backend(&url), "get", json!([7])).await);
    assert_eq!(*count.lock().unwrap(), 3, "repeated as often as the settings say");
    unavailable(ask(&backend(&url), "create", json!([])).await);
    assert_eq!(*count.lock().unwrap(), 4);
    serving.abort();
    let _ = serving.await;
    unavailable(ask(&backend(&url), "get", json!([7])).await);
}

#[test]
fn addresses_methods_and_keys_are_checked() {
    let key = || SigningKey::new(KEY).unwrap();
    for sound in ["http://127.0.0.1:9000", "https://shop.internal/api/v1/", "http://[::1]/"] {
        assert!(Backend::new(sound, key()).is_ok(), "{sound}");
    }
    for wrong in
        ["", "shop.internal", "ftp://x/", "unix:/run/x", "https://a:b@x/", "https://x/?a", "https://x/#a", "https://"]
    {
        assert!(Backend::new(wrong, key()).is_err(), "{wrong}");
    }
    for wrong in ["short", "0123456789abcdef 0123456789abcdef", &"ü".repeat(32)] {
        assert!(SigningKey::new(wrong).is_err(), "{wrong}");
    }
    assert_eq!(format!("{:?}", key()), "SigningKey(…)");
    assert!(Endpoint::new("TRACE", "/", false).is_err() && Endpoint::new("get", "/", false).is_ok());
}
