//! A run as it goes on, as server-sent events.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde::Serialize;
use tokio::sync::watch;

use super::Problem;
use super::executions::progress as event;
use crate::capabilities::progress::{Progress, Report};

/// What is said of progress within this is told once.
const GATHER: Duration = Duration::from_millis(100);

struct Run {
    said: watch::Receiver<Option<Report>>,
    /// What was told last.
    told: Option<Report>,
    ended: BoxFuture<'static, Event>,
}

/// How far a run is, until it has ended. It ends with its reader.
pub fn follow<T: Serialize + 'static>(
    alive: KeepAlive,
    progress: Progress,
    ended: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Response {
    let ended = async move {
        match ended.await {
            // JSON has them only between its words, and a stream's data has none.
            Ok(ended) => match serde_json::to_string(&ended) {
                Ok(text) => Event::default().event("end").data(text.replace(['\r', '\n'], " ")),
                Err(_) => Problem::internal().event(),
            },
            Err(problem) => problem.event(),
        }
    };
    let run = Run { said: progress.follow(), told: None, ended: ended.boxed() };
    let events = stream::unfold(Some(run), async |run| {
        let mut run = run?;
        let told = async {
            let changed = run.said.changed().await;
            match changed {
                Ok(()) => tokio::time::sleep(GATHER).await,
                // The call alone holds on to it.
                Err(_) => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = &mut run.ended => Some(ended),
            () = told => None,
        };
        let said = run.said.borrow_and_update().clone().filter(|said| Some(said) != run.told.as_ref());
        let news = said.as_ref().map(event);
        run.told = said.or(run.told);
        let more = ended.is_none().then_some(run);
        Some((news.into_iter().chain(ended).collect::<Vec<Event>>(), more))
    });
    let events = events.flat_map(stream::iter).map(Ok::<Event, Infallible>);
    Sse::new(events).keep_alive(alive).into_response()
}
