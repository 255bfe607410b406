//! `/api/logs`: what a tenant's scripts log, as they run.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::executions::{READ, sign_of_life};
use super::{Api, Caller, Problem, Query};
use crate::executions::{Watch, Watched};
use crate::store::plain;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(follow))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// A script's id or name. Left out: all scripts.
    script: Option<String>,
}

/// Follow what scripts log, from now on
///
/// Server-sent events, of all hosts. `line`: one line, a JSON object that says whose it is. `end`: an execution
/// has ended; the data is `{"id", "script", "status", "duration_ms"}`. `skipped`: there was too much to tell it all.
#[utoipa::path(get, path = "/api/logs", tag = "executions", params(Wanted),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
async fn follow(
    caller: Caller,
    State(api): State<Api>,
    Query(wanted): Query<Wanted>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    caller.require(READ)?;
    let executions = api.host.executions();
    let permit = executions
        .follower()
        .ok_or_else(|| Problem::unavailable("overloaded", "As many follow logs as the host takes.").retry())?;
    let watch = Watch::begin(executions.clone(), caller.tenant, wanted.script.map(plain)).await?;
    let alive = sign_of_life(&api);
    let reader = Reader { api, watch, _permit: permit };
    let events = stream::unfold(reader, step).flat_map(stream::iter);
    Ok(Sse::new(events.map(Ok)).keep_alive(alive))
}

struct Reader {
    api: Api,
    watch: Watch,
    _permit: OwnedSemaphorePermit,
}

async fn step(mut reader: Reader) -> Option<(Vec<Event>, Reader)> {
    // The reader connects again, to another host.
    if reader.api.app.is_stopping() {
        return None;
    }
    match reader.watch.next().await {
        Ok(watched) => Some((watched.into_iter().map(event).collect(), reader)),
        Err(reason) => {
            tracing::error!(%reason, "following logs failed");
            None
        }
    }
}

fn event(watched: Watched) -> Event {
    match watched {
        Watched::Line(line) => Event::default().event("line").data(&*line),
        Watched::End(execution) => {
            let data = serde_json::json!({
                "id": execution.id,
                "script": execution.script,
                "status": execution.status,
                "duration_ms": execution.duration_us.map(|micros| micros as f64 / 1e3),
            });
            Event::default().event("end").data(data.to_string())
        }
        Watched::Skipped => Event::default().event("skipped").data("{}"),
    }
}
