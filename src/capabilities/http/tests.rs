//! Requests as a hostile script makes them, against real servers.
//!
//! `127.0.0.1`, opened by an exception, stands for the public internet, and
//! `127.0.0.2` for the private network.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::client::Refusal;
use super::*;
use crate::runtime::bindings::airlock::script::http::{Header, Request, Response};
use crate::runtime::limits::{Limit, Limits};
use crate::store::clock::Clock;
use crate::tenant::quota::{Ledger, Quotas};

const PUBLIC: &str = "127.0.0.1";
const PRIVATE: &str = "127.0.0.2";

/// What a server sends, as bytes of HTTP/1.1.
enum Answer {
    Whole(Vec<u8>),
    /// A head, and then a body that never ends.
    Endless(&'static str),
    /// A start, and then nothing while the connection stays open.
    Stuck(&'static str),
}

fn ok(body: &str) -> Answer {
    whole(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()))
}

fn redirect(status: u16, location: &str) -> Answer {
    whole(&format!(
        "HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    ))
}

fn whole(text: &str) -> Answer {
    Answer::Whole(text.as_bytes().to_vec())
}

/// A server that answers by a request's target and keeps what it was sent.
struct Server {
    port: u16,
    /// Head and body of each request.
    received: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((PUBLIC, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (answer, keep) = (Arc::new(answer), received.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, keep) = (answer.clone(), keep.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &*answer, &keep).await;
                });
            }
        });
        Server { port, received }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&str) -> Answer + Send + Sync),
    keep: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut request = Vec::new();
    let complete = |request: &[u8]| {
        let text = String::from_utf8_lossy(request);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        (body.len() >= length).then(|| text.to_string())
    };
    let text = loop {
        if let Some(text) = complete(&request) {
            break text;
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
    keep.lock().unwrap().push(text);
    match answer(&target) {
        Answer::Whole(bytes) => stream.write_all(&bytes).await?,
        Answer::Endless(head) => {
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
        Answer::Stuck(start) => {
            stream.write_all(start.as_bytes()).await?;
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

/// Something on the private network that nobody may connect to.
struct Bystander(TcpListener);

impl Bystander {
    async fn at(port: u16) -> Bystander {
        Bystander(TcpListener::bind((PRIVATE, port)).await.unwrap())
    }

    fn assert_untouched(&self) {
        assert!(self.0.accept().now_or_never().is_none(), "the private network was reached");
    }
}

/// A process whose names are those of the table, and how often they were asked for.
fn process_with(names: &'static [(&'static str, &'static [&'static str])]) -> (Process, Arc<AtomicUsize>) {
    let lookups = Arc::new(AtomicUsize::new(0));
    let count = lookups.clone();
    let lookup: Lookup = Arc::new(move |name| {
        count.fetch_add(1, Ordering::SeqCst);
        let found = names.iter().find(|(known, _)| *known == name);
        let found = match found {
            Some((_, addresses)) => Ok(addresses.iter().map(|ip| ip.parse().unwrap()).collect()),
            None => Err(io::Error::other("no such name")),
        };
        std::future::ready(found).boxed()
    });
    (Process::with_lookup(settings(), lookup).unwrap(), lookups)
}

fn process() -> Process {
    process_with(&[("a.test", &[PUBLIC]), ("b.test", &[PUBLIC]), ("inside.test", &[PRIVATE])]).0
}

fn settings() -> Settings {
    let private_networks = vec![format!("{PUBLIC}/32").parse().unwrap()];
    Settings { private_networks, ..Settings::default() }
}

fn grant(patterns: &[&str]) -> Grant {
    Grant::these(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect())
}

/// Everything at a server's port, by name or address.
fn everywhere(port: u16) -> Grant {
    grant(&[&format!("http://*:{port}")])
}

fn get(url: &str) -> Request {
    Request { method: "GET".to_owned(), url: url.to_owned(), headers: Vec::new(), body: None, timeout: None }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

/// What one call of a tenant without other calls may request.
fn budget(limits: &Limits, quotas: Quotas) -> Budget {
    let account = Ledger::new(quotas, HashMap::new(), Clock::manual(0)).account("a");
    Budget { account, limits: Arc::new(limits.clone()), used: Arc::default() }
}

async fn exchange(process: &Process, grant: &Grant, limits: &Limits, request: Request) -> Result<Response, Failure> {
    let prepared = process.prepare(request, grant, limits)?;
    process.exchange(prepared, grant, &budget(limits, Quotas::default())).await
}

async fn send(process: &Process, grant: &Grant, request: Request) -> Result<Response, Failure> {
    exchange(process, grant, &Limits::default(), request).await
}

fn assert_fails(result: Result<Response, Failure>, name: &str, message: &str) {
    let failure = result.expect_err("it should have failed");
    assert_eq!(failure.name, name, "{failure:?}");
    assert!(failure.message.contains(message), "`{}` should say `{message}`", failure.message);
}

#[tokio::test]
async fn an_allowed_request_is_answered_as_the_server_sent_it() {
    let server = Server::start(|_| {
        let mut answer = b"HTTP/1.1 201 Created\r\nX-Thing: One\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
            X-Latin: \xe9\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n"
            .to_vec();
        answer.extend([0x1f, 0x8b, 0xff]);
        Answer::Whole(answer)
    })
    .await;
    let url = server.url("a.test", "/x?y=1");
    let request = Request {
        method: "post".to_owned(),
        headers: vec![header("X-Asked", " twice "), header("x-asked", "again")],
        body: Some(b"{}".to_vec()),
        ..get(&format!("{url}#part"))
    };
    let response = send(&process(), &everywhere(server.port), request).await.unwrap();
    assert_eq!((response.status, response.url), (201, url));
    assert_eq!(response.body, [0x1f, 0x8b, 0xff]);
    for expected in [
        header("x-thing", "One"),
        header("set-cookie", "a=1"),
        header("set-cookie", "b=2"),
        header("x-latin", "é"),
        header("content-encoding", "gzip"),
    ] {
        assert!(response.headers.contains(&expected), "{expected:?} in {:?}", response.headers);
    }

    let sent = server.received().remove(0);
    assert!(sent.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains("x-asked: twice\r\nx-asked: again\r\n"), "{sent}");
    assert!(sent.contains("user-agent: airlock/"), "{sent}");
    assert!(!sent.contains("accept-encoding") && !sent.contains("cookie"), "{sent}");
    assert!(sent.ends_with("\r\n\r\n{}"), "{sent}");
}

#[tokio::test]
async fn what_is_not_granted_is_refused_before_any_look_up() {
    let server = Server::start(|_| ok("")).await;
    let (process, lookups) = process_with(&[("a.test", &[PUBLIC])]);
    let here = server.url("a.test", "/");
    for (patterns, url, message) in [
        (&[][..], "https://a.test/", "http = [\"a.test\"]"),
        (&[], &here, &format!("http = [\"http://a.test:{}\"]", server.port)),
        (&[], &server.url(PUBLIC, "/"), PUBLIC),
        (&["a.test"], &here, "not granted"),
        (&["*.a.test"], "https://a.test/", "not granted requests to a.test"),
        (&["a.test"], "https://a.test.evil.test/", "http = [\"a.test.evil.test\"]"),
        (&["a.test"], "https://evil.test\\@a.test/", "evil.test"),
        (&["a.test"], "https://evil.test/a.test", "evil.test"),
        (&["a.test"], "https://a.test:8443/", "http = [\"a.test:8443\"]"),
    ] {
        assert_fails(send(&process, &grant(patterns), get(url)).await, "PermissionDenied", message);
    }
    assert_eq!(lookups.load(Ordering::SeqCst), 0);
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_requested() {
    let lookup: Lookup = Arc::new(|name| panic!("{name} was looked up"));
    let process = Process::with_lookup(Settings::default(), lookup).unwrap();
    let all = grant(&["http://*", "*"]);
    for url in [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "http://127.0.0.1./",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://0/",
        "http://0.0.0.0/",
        "http://%31%32%37.0.0.1/",
        "http://１２７.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://127。0。0。1/",
        "http:127.0.0.1",
        "http:\\\\127.0.0.1\\",
        "ht\ntp://127.0\n.0.1/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::127.0.0.1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:7f00:0001]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::1]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0xa9fea9fe/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a9fe:a9fe]/",
    ] {
        assert_fails(send(&process, &all, get(url)).await, "PermissionDenied", "not at a public address");
    }
}

#[tokio::test]
async fn a_name_is_only_connected_to_at_permitted_addresses() {
    let server = Server::start(|_| ok("public")).await;
    let bystander = Bystander::at(server.port).await;
    let (process, _) = process_with(&[
        ("public.test", &[PUBLIC]),
        ("mixed.test", &[PRIVATE, "::1", "10.0.0.1", PUBLIC, "169.254.169.254"]),
        ("mapped.test", &["::ffff:127.0.0.1"]),
        ("inside.test", &[PRIVATE]),
        ("all-inside.test", &["::1", PRIVATE, "::ffff:127.0.0.2", "64:ff9b::7f00:2", "0.0.0.0"]),
        ("empty.test", &[]),
    ]);
    for (host, expected) in [
        ("public.test", Ok("public")),
        ("mixed.test", Ok("public")),
        ("PUBLIC.test.", Ok("public")),
        ("mapped.test", Ok("public")),
        ("inside.test", Err(("PermissionDenied", "not at a public address"))),
        ("all-inside.test", Err(("PermissionDenied", "not at a public address"))),
        ("empty.test", Err(("HttpError", "could not be resolved"))),
        ("unknown.test", Err(("HttpError", "the name unknown.test"))),
    ] {
        let result = send(&process, &everywhere(server.port), get(&server.url(host, "/"))).await;
        match expected {
            Ok(body) => assert_eq!(result.expect(host).body, body.as_bytes(), "{host}"),
            Err((name, message)) => assert_fails(result, name, message),
        }
    }
    bystander.assert_untouched();
}

#[tokio::test]
async fn names_of_the_machine_itself_are_looked_up_and_checked() {
    let server = Server::start(|_| ok("here")).await;
    let request = get(&server.url("localhost", "/"));
    let all = everywhere(server.port);
    let opened = Process::new(settings()).unwrap();
    assert_eq!(send(&opened, &all, request.clone()).await.unwrap().body, b"here");
    let closed = Process::new(Settings::default()).unwrap();
    assert_fails(send(&closed, &all, request).await, "PermissionDenied", "not at a public address");
}

#[tokio::test]
async fn a_blocked_address_answers_alike_whatever_is_there() {
    let server = Server::start(|_| ok("")).await;
    let open = Bystander::at(server.port).await;
    let process = process();
    let mut messages = Vec::new();
    for host in ["inside.test", PRIVATE] {
        for port in [server.port, 1] {
            let url = format!("http://{host}:{port}/");
            let failure = send(&process, &everywhere(port), get(&url)).await.unwrap_err();
            messages.push(failure.message.replace(&format!("{host}:{port}"), "HOST"));
        }
    }
    messages.dedup();
    assert_eq!(messages.len(), 1, "{messages:?}");
    open.assert_untouched();
}

#[tokio::test]
async fn a_name_server_that_changes_its_mind_gains_nothing() {
    let server = Server::start(|target| match target {
        "/again" => redirect(302, "/there"),
        _ => ok("public"),
    })
    .await;
    let bystander = Bystander::at(server.port).await;
    let turn = Arc::new(AtomicUsize::new(0));
    let lookup: Lookup = Arc::new(move |_| {
        let private = turn.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        let ip = if private { PRIVATE } else { PUBLIC }.parse().unwrap();
        std::future::ready(Ok(vec![ip])).boxed()
    });
    let process = Process::with_lookup(settings(), lookup).unwrap();
    let all = everywhere(server.port);
    let direct = get(&server.url("rebinding.test", "/"));
    assert_eq!(send(&process, &all, direct.clone()).await.unwrap().status, 200);
    assert_fails(send(&process, &all, direct).await, "PermissionDenied", "not at a public address");
    let redirected = get(&server.url("rebinding.test", "/again"));
    assert_fails(send(&process, &all, redirected).await, "PermissionDenied", "not at a public address");
    bystander.assert_untouched();
}

#[tokio::test]
async fn the_hosts_own_listeners_are_out_of_reach() {
    let (own, wild, other) =
        (Server::start(|_| ok("")).await, Server::start(|_| ok("")).await, Server::start(|_| ok("")).await);
    let process = process();
    process.forbid(SocketAddr::new(PUBLIC.parse().unwrap(), own.port)).unwrap();
    process.forbid(format!("[::]:{}", wild.port).parse().unwrap()).unwrap();
    for host in ["a.test", PUBLIC, "2130706433", "[::ffff:127.0.0.1]"] {
        for server in [&own, &wild] {
            let result = send(&process, &everywhere(server.port), get(&server.url(host, "/"))).await;
            assert_fails(result, "PermissionDenied", "not at a public address");
            assert!(server.received().is_empty());
        }
        let result = send(&process, &everywhere(other.port), get(&other.url(host, "/"))).await;
        assert_eq!(result.unwrap().status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_redirect_rewrites_the_request_as_fetch_does() {
    let server = Server::start(|target| match target.trim_start_matches('/').parse() {
        Ok(status) => redirect(status, "/end"),
        Err(_) => ok("end"),
    })
    .await;
    for (status, method, followed_by) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (301, "PUT", "PUT"),
        (302, "PATCH", "PATCH"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
    ] {
        let request = Request {
            method: method.to_owned(),
            headers: vec![header("content-type", "text/plain"), header("authorization", "kept")],
            body: Some(b"the body".to_vec()),
            ..get(&server.url("a.test", &format!("/{status}")))
        };
        let response = send(&process(), &everywhere(server.port), request).await.unwrap();
        assert_eq!(response.url, server.url("a.test", "/end"));
        let sent = server.received().pop().unwrap();
        let kept = method == followed_by;
        assert!(sent.starts_with(&format!("{followed_by} /end ")), "{status} {method}: {sent}");
        assert_eq!(sent.contains("the body"), kept, "{status} {method}: {sent}");
        assert_eq!(sent.contains("content-type"), kept, "{status} {method}: {sent}");
        assert!(sent.contains("authorization: kept"), "the same origin: {sent}");
    }
    for status in [300, 304] {
        let request = get(&server.url("a.test", &format!("/{status}")));
        let response = send(&process(), &everywhere(server.port), request).await.unwrap();
        assert_eq!(response.status, status);
    }
}

#[tokio::test]
async fn credentials_do_not_cross_origins() {
    let there = Server::start(|_| ok("")).await;
    let elsewhere = [there.url("a.test", "/"), there.url("b.test", "/")];
    for to in elsewhere {
        let location = to.clone();
        let here = Server::start(move |_| redirect(307, &location)).await;
        let request = Request {
            headers: vec![
                header("Authorization", "Bearer secret"),
                header("Cookie", "session=secret"),
                header("X-Kept", "yes"),
            ],
            ..get(&here.url("a.test", "/"))
        };
        let both = grant(&[&format!("http://*:{}", here.port), &format!("http://*:{}", there.port)]);
        send(&process(), &both, request).await.unwrap();
        assert!(here.received()[0].contains("secret"));
        let sent = there.received().pop().unwrap();
        assert!(!sent.contains("secret") && sent.contains("x-kept: yes"), "{to}: {sent}");
    }
}

#[tokio::test]
async fn every_hop_of_a_redirect_is_checked() {
    let bystander_port = Arc::new(AtomicUsize::new(0));
    let port = bystander_port.clone();
    let server = Server::start(move |target| {
        let port = port.load(Ordering::SeqCst);
        match target {
            "/private" => redirect(302, &format!("http://{PRIVATE}:{port}/")),
            "/decimal" => redirect(302, &format!("http://2130706434:{port}/")),
            "/relative" => redirect(302, &format!("//{PRIVATE}:{port}/")),
            "/inside" => redirect(302, &format!("http://inside.test:{port}/")),
            "/evil" => redirect(302, "http://evil.test/"),
            "/file" => redirect(302, "file:///etc/passwd"),
            "/user" => redirect(302, &format!("http://user:secret@a.test:{port}/")),
            "/bad" => redirect(302, "http://[/"),
            "/long" => redirect(302, &format!("/{}", "x".repeat(MAX_URL_BYTES))),
            "/second" => redirect(302, "/private"),
            _ => redirect(302, "/round"),
        }
    })
    .await;
    bystander_port.store(server.port.into(), Ordering::SeqCst);
    let bystander = Bystander::at(server.port).await;
    let process = process();
    for (path, name, message) in [
        ("/private", "PermissionDenied", "redirects: 127.0.0.2"),
        ("/decimal", "PermissionDenied", "redirects: 127.0.0.2"),
        ("/relative", "PermissionDenied", "redirects: 127.0.0.2"),
        ("/inside", "PermissionDenied", "inside.test"),
        ("/evil", "PermissionDenied", "http = [\"http://evil.test\"]"),
        ("/file", "HttpError", "only http and https"),
        ("/user", "HttpError", "user name"),
        ("/bad", "HttpError", "cannot be followed"),
        ("/long", "HttpError", "too long"),
        ("/second", "PermissionDenied", "redirects: 127.0.0.2"),
        ("/round", "LimitError", "limits.http_redirects"),
    ] {
        let request = get(&server.url("a.test", path));
        assert_fails(send(&process, &everywhere(server.port), request).await, name, message);
    }
    bystander.assert_untouched();
}

#[tokio::test]
async fn redirects_count_as_requests() {
    let server = Server::start(|target| match target {
        "/2" => redirect(302, "/1"),
        "/1" => redirect(302, "/0"),
        _ => ok(""),
    })
    .await;
    let (process, grant) = (process(), everywhere(server.port));
    for (http_calls, http_calls_per_minute, stopped_by) in [
        (1, 0, Some("limits.http_calls")),
        (2, 0, None),
        (100, 1, Some("quotas.http_calls_per_minute")),
        (100, 2, None),
    ] {
        let limits = Limits { http_calls, ..Limits::default() };
        let budget = budget(&limits, Quotas { http_calls_per_minute, ..Quotas::default() });
        let prepared = process.prepare(get(&server.url("a.test", "/2")), &grant, &limits).unwrap();
        let result = process.exchange(prepared, &grant, &budget).await;
        let hit = result.err().and_then(|failure| failure.limit);
        assert_eq!(hit.map(|hit| hit.setting).as_deref(), stopped_by);
    }
}

#[tokio::test]
async fn requests_under_way_together_share_what_is_left() {
    let server = Server::start(|target| match target {
        "/start" => redirect(302, "/end"),
        _ => ok(""),
    })
    .await;
    let (process, grant) = (process(), everywhere(server.port));
    // Each of five was admitted; three redirects are left for all of them.
    let limits = Limits { http_calls: 8, ..Limits::default() };
    let budget = budget(&limits, Quotas::default());
    let requests = (0..5).map(|_| {
        budget.take().unwrap();
        let prepared = process.prepare(get(&server.url("a.test", "/start")), &grant, &limits).unwrap();
        process.exchange(prepared, &grant, &budget)
    });
    let results = futures_util::future::join_all(requests).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3);
    assert_eq!(server.received().len(), 8);
}

#[test]
fn a_redirect_from_https_to_http_needs_a_pattern_that_says_http() {
    let from = Url::parse("https://a.test/").unwrap();
    let process = process();
    let redirected = |patterns: &[&str]| process.redirected(&from, "http://a.test/", &grant(patterns));
    assert!(matches!(redirected(&["a.test", "*"]), Err(Refusal::Denied(_))));
    assert!(redirected(&["a.test", "http://a.test"]).is_ok());
}

#[tokio::test]
async fn answers_are_bounded_while_they_arrive() {
    let server = Server::start(|target| match target {
        "/exact" => ok(&"x".repeat(1000)),
        "/over" => ok(&"x".repeat(1001)),
        "/announced" => Answer::Stuck("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nx"),
        "/endless" => Answer::Endless("HTTP/1.1 200 OK\r\n\r\n"),
        "/chunked" => Answer::Endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n"),
        "/short" => whole("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx"),
        "/header-lines" => whole(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(1000))),
        "/header-bytes" => whole(&format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(MAX_HEADER_BYTES))),
        "/headers-endless" => Answer::Endless("HTTP/1.1 200 OK\r\na: "),
        "/nonsense" => whole("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        "/nothing" => whole(""),
        "/two-lengths" => whole("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        _ => whole("HTTP/1.1 200 OK\r\n\r\n"),
    })
    .await;
    let process = process();
    let limits = Limits { http_response_bytes: 1000, ..Limits::default() };
    for (path, expected) in [
        ("/exact", None),
        ("/over", Some(("LimitError", "limits.http_response_bytes"))),
        ("/announced", Some(("LimitError", "limits.http_response_bytes"))),
        ("/endless", Some(("LimitError", "limits.http_response_bytes"))),
        ("/chunked", Some(("LimitError", "limits.http_response_bytes"))),
        ("/short", Some(("HttpError", "broke off"))),
        ("/header-lines", Some(("HttpError", "not HTTP that could be understood"))),
        ("/header-bytes", Some(("HttpError", "headers"))),
        ("/headers-endless", Some(("HttpError", "not HTTP that could be understood"))),
        ("/nonsense", Some(("HttpError", "not HTTP that could be understood"))),
        ("/nothing", Some(("HttpError", "closed the connection"))),
        ("/two-lengths", Some(("HttpError", "not HTTP that could be understood"))),
    ] {
        let request = get(&server.url("a.test", path));
        let result = exchange(&process, &everywhere(server.port), &limits, request).await;
        match expected {
            None => assert_eq!(result.expect(path).body.len(), 1000),
            Some((name, message)) => assert_fails(result, name, message),
        }
    }
    let head = Request { method: "HEAD".to_owned(), ..get(&server.url("a.test", "/over")) };
    let result = exchange(&process, &everywhere(server.port), &limits, head).await;
    assert_eq!(result.unwrap().body, b"", "what HEAD announces is not sent");
}

#[tokio::test]
async fn time_bounds_the_whole_exchange() {
    let server = Server::start(|target| match target {
        "/body" => Answer::Stuck("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nx"),
        "/head" => Answer::Stuck("HTTP/1.1 200"),
        "/redirect" => redirect(302, "/body"),
        _ => Answer::Stuck(""),
    })
    .await;
    let process = process();
    for path in ["/", "/head", "/body", "/redirect"] {
        let limits = Limits { http_timeout: 60, ..Limits::default() };
        let request = get(&server.url("a.test", path));
        let result = exchange(&process, &everywhere(server.port), &limits, request).await;
        let limit = result.as_ref().unwrap_err().limit.clone();
        assert_eq!(limit.unwrap().name, Limit::HttpTimeout.name());
        assert_fails(result, "TimeoutError", "limits.http_timeout");

        let request = Request { timeout: Some(30), ..get(&server.url("a.test", path)) };
        let result = send(&process, &everywhere(server.port), request).await;
        assert_eq!(result.as_ref().unwrap_err().limit, None, "the script's own wish is no limit");
        assert_fails(result, "TimeoutError", "its timeout of 30ms");
    }
    let limits = Limits { http_timeout: 60, ..Limits::default() };
    let request = Request { timeout: Some(u64::MAX), ..get(&server.url("a.test", "/")) };
    let result = exchange(&process, &everywhere(server.port), &limits, request).await;
    assert_fails(result, "TimeoutError", "limits.http_timeout");
}

#[tokio::test]
async fn failures_are_told_by_kind_and_without_addresses() {
    let closed = TcpListener::bind((PUBLIC, 0)).await.unwrap().local_addr().unwrap().port();
    let plain = Server::start(|_| ok("")).await;
    let nonsense = TcpListener::bind((PUBLIC, 0)).await.unwrap();
    let nonsense_port = nonsense.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = nonsense.accept().await {
            let _ = stream.write_all(b"this is not TLS at all\r\n").await;
        }
    });
    let process = process();
    for (url, message) in [
        (format!("http://a.test:{closed}/"), "refused the connection".to_owned()),
        (format!("https://a.test:{nonsense_port}/"), format!("no TLS connection with a.test:{nonsense_port}")),
        (format!("https://unknown.test:{}/", plain.port), "could not be resolved".to_owned()),
    ] {
        let port = Url::parse(&url).unwrap().port().unwrap();
        let all = grant(&[&format!("http://*:{port}"), &format!("*:{port}")]);
        let result = send(&process, &all, get(&url)).await;
        let text = result.as_ref().unwrap_err().message.clone();
        assert!(!text.contains("127.0.0"), "{text}");
        assert_fails(result, "HttpError", &message);
    }
}

#[test]
fn what_a_script_asks_for_is_checked_before_anything_is_sent() {
    let process = process();
    let grant = grant(&["http://a.test", "a.test"]);
    let limits = Limits { http_request_bytes: 10, ..Limits::default() };
    let base = || get("https://a.test/");
    let url = |url: &str| get(url);
    let method = |method: &str| Request { method: method.to_owned(), ..base() };
    let with = |name: &str, value: &str| Request { headers: vec![header(name, value)], ..base() };
    let post = |size: usize| Request { body: Some(vec![0; size]), ..method("POST") };

    let mut refused = vec![
        (url(""), "TypeError", "not a URL"),
        (url("/relative"), "TypeError", "not a URL"),
        (url("https://"), "TypeError", "not a URL"),
        (url("https://a b.test/"), "TypeError", "not a URL"),
        (url("https://a.test:99999/"), "TypeError", "not a URL"),
        (url("https://[::1%25eth0]/"), "TypeError", "not a URL"),
        (url("https://1.2.3.256/"), "TypeError", "not a URL"),
        (url("file:///etc/passwd"), "TypeError", "only http and https"),
        (url("ftp://a.test/"), "TypeError", "only http and https"),
        (url("data:,x"), "TypeError", "only http and https"),
        (url("unix:/run/docker.sock"), "TypeError", "only http and https"),
        (url("ws://a.test/"), "TypeError", "only http and https"),
        (url("https://user@a.test/"), "TypeError", "user name"),
        (url("https://user:secret@a.test/"), "TypeError", "user name"),
        (url("https://:secret@a.test/"), "TypeError", "user name"),
        (url("https://a.test:0/"), "TypeError", "port 0"),
        (url("https://a.test../"), "TypeError", "not a name"),
        (url("https://a..test/"), "TypeError", "not a name"),
        (url("https://./"), "TypeError", "not a"),
        (url(&format!("https://{}.test/", "a".repeat(64))), "TypeError", "not a"),
        (url(&format!("https://a.test/{}", "x".repeat(MAX_URL_BYTES))), "TypeError", "longer than"),
        (method("CONNECT"), "TypeError", "`CONNECT` is not a method"),
        (method("TRACE"), "TypeError", "not a method"),
        (method(""), "TypeError", "not a method"),
        (method("GET / HTTP/1.1\r\nHost: evil\r\n\r\n"), "TypeError", "\\r\\n"),
        (with("x", "a\r\nHost: evil.test"), "TypeError", "line break"),
        (with("x", "a\nb"), "TypeError", "line break"),
        (with("x", "a\rb"), "TypeError", "line break"),
        (with("x", "a\0b"), "TypeError", "NUL"),
        (with("x", "a\u{1}b"), "TypeError", "control character"),
        (with("x\r\nhost", "evil.test"), "TypeError", "not a header's name"),
        (with("", "x"), "TypeError", "not a header's name"),
        (with("x y", "x"), "TypeError", "not a header's name"),
        (with(":authority", "evil.test"), "TypeError", "not a header's name"),
        (with("x", &"y".repeat(MAX_HEADER_BYTES)), "TypeError", "at most 65536 bytes"),
        (Request { headers: vec![header("a", "b"); MAX_HEADERS + 1], ..base() }, "TypeError", "at most 100 headers"),
        (Request { body: Some(vec![0]), ..base() }, "TypeError", "GET request cannot have a body"),
        (post(11), "LimitError", "limits.http_request_bytes"),
        (Request { timeout: Some(0), ..base() }, "TypeError", "at least 1 ms"),
    ];
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "CONNECTION",
        "Keep-Alive",
        "Upgrade",
        "HTTP2-Settings",
        "TE",
        "Trailer",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
    ] {
        refused.push((with(name, "x"), "TypeError", "cannot be set by a script"));
    }
    for (request, name, message) in refused {
        let shown = format!("{request:.200?}");
        let failure = process.prepare(request, &grant, &limits).expect_err(&shown);
        assert_eq!(failure.name, name, "{shown}: {failure:?}");
        assert!(failure.message.contains(message), "{shown}: {failure:?}");
        assert!(failure.message.len() < 2000, "{shown}: {failure:?}");
    }

    for request in [
        base(),
        url("HTTPS://A.TEST./path"),
        method("options"),
        with("Authorization", "Bearer x"),
        with("X-Text", "grüße\tund mehr"),
        with("Cookie", "a=1"),
        post(10),
        Request { body: Some(Vec::new()), ..base() },
        Request { timeout: Some(u64::MAX), ..base() },
    ] {
        let shown = format!("{request:?}");
        assert!(process.prepare(request, &grant, &limits).is_ok(), "{shown}");
    }
}
