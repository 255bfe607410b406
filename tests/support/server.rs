//! The other side of scripts' HTTP requests, on the loopback network.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::any;
use serde_json::{Map, Value, json};
use tokio::sync::Barrier;

#[derive(Default)]
struct Seen {
    requests: u64,
    /// Who waits for others in `together`.
    barriers: HashMap<usize, Arc<Barrier>>,
}

type Book = Arc<Mutex<HashMap<String, Seen>>>;

pub struct Server {
    /// Such as `http://127.0.0.1:4711`.
    origin: String,
    book: Book,
}

fn open(book: &Book) -> MutexGuard<'_, HashMap<String, Seen>> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Each case has paths of its own, so that it can be said what it asked for.
    pub async fn start() -> anyhow::Result<Server> {
        let book = Book::default();
        let routes = Router::new().route("/{case}/{*path}", any(answer)).with_state(book.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Server { origin, book })
    }

    /// What `{server}` stands for in a case.
    pub fn address(&self, case: &str) -> String {
        format!("{}/{}", self.origin, slug(case))
    }

    /// What `{address}` stands for.
    pub fn host(&self) -> &str {
        self.origin.trim_start_matches("http://")
    }

    /// What `{origin}` stands for.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn seen(&self, case: &str) -> Map<String, Value> {
        let requests = open(&self.book).get(&slug(case)).map_or(0, |seen| seen.requests);
        Map::from_iter([("requests".to_owned(), requests.into())])
    }
}

fn slug(case: &str) -> String {
    case.replace("::", "-")
}

async fn answer(
    State(book): State<Book>,
    Path((case, path)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    open(&book).entry(case.clone()).or_default().requests += 1;
    let query = query.unwrap_or_default();
    let argument = path.rsplit('/').next().unwrap_or_default().to_owned();
    match path.split('/').next().unwrap_or_default() {
        "echo" => {
            let headers: Map<String, Value> = headers
                .keys()
                .map(|name| {
                    let lines: Vec<_> =
                        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
                    (name.to_string(), lines.join(", ").into())
                })
                .collect();
            Json(json!({
                "method": method.as_str(), "query": query, "headers": headers, "body": String::from_utf8_lossy(&body),
            }))
            .into_response()
        }
        "json" => Json(json!({ "ok": true, "list": [1, 2, 3] })).into_response(),
        "text" => ([("x-twice", "a"), ("content-type", "text/plain")], "plain text").into_response(),
        "broken-json" => ([("content-type", "application/json")], "{not json").into_response(),
        "status" => {
            let status = argument.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or_default();
            (status, format!("status {}", status.as_u16())).into_response()
        }
        "redirect" => {
            let to = query.strip_prefix("to=").unwrap_or_default();
            let to = percent_encoding::percent_decode_str(to).decode_utf8_lossy().into_owned();
            (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
        }
        // An application's own errors.
        "orders" => {
            let status = argument.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or_default();
            (status, Json(json!({ "code": "no_such_order", "message": "there is no order 7" }))).into_response()
        }
        "loop" => (StatusCode::FOUND, [(header::LOCATION, "loop")]).into_response(),
        // Answers once that many requests are here together, and never before.
        "together" => {
            let count: usize = argument.parse().unwrap_or(1);
            let barrier = {
                let mut book = open(&book);
                let barriers = &mut book.entry(case).or_default().barriers;
                barriers.entry(count).or_insert_with(|| Arc::new(Barrier::new(count))).clone()
            };
            barrier.wait().await;
            "together".into_response()
        }
        "never" => std::future::pending().await,
        "endless" => {
            let chunk = Bytes::from(vec![b'x'; 16 << 10]);
            Body::from_stream(futures_util::stream::repeat_with(move || Ok::<_, Infallible>(chunk.clone())))
                .into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
