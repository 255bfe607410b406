//! `/api/scripts/{script}/versions`: sources that are kept, and which of them
//! calls run.
#![expect(unused_qualifications, reason = "utoipa's macro writes them")]

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{AppendHeaders, IntoResponse};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::scripts::{GRANT, View as ScriptView, require_stored};
use super::{Api, Body, Caller, Page, Path, Problem, Query, Slice, Time};
use crate::capabilities::grant::{self, Lists};
use crate::scripts::{Consent, Source, Stored, Version, reach};

/// How long two sources may take to compare. What is left then is shown as
/// replaced whole.
const COMPARING: Duration = Duration::from_millis(500);

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read))
        .routes(routes!(deploy))
        .routes(routes!(compare))
}

/// A version of a script, which never changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
struct View {
    /// From 1 in each script.
    number: i64,
    /// Whether calls run it.
    deployed: bool,
    /// The name that stacks show.
    file: String,
    /// SHA-256 of the source, in hexadecimal.
    hash: String,
    /// What it was first compiled with.
    engine: String,
    /// The functions that can be called.
    entries: Vec<String>,
    /// What it declares that it uses, by list. Null: it declares nothing.
    #[schema(required, value_type = Option<grant::Shown>)]
    declares: Option<Lists>,
    /// What it may use, with the grants that the script has now.
    #[schema(value_type = grant::Shown)]
    reaches: Lists,
    /// The id of the user who saved it.
    author: String,
    message: String,
    /// Of the source and its map.
    bytes: i64,
    created_at: Time,
}

impl View {
    fn new(script: &Stored, version: Version) -> View {
        let reaches = reach(&script.draft, version.declared.as_ref());
        let Version { number, file, hash, engine, entries, declared, author, message, bytes, created_at } = version;
        View {
            number,
            deployed: script.deployed == Some(number),
            file,
            hash,
            engine,
            entries,
            declares: declared,
            reaches,
            author,
            message,
            bytes,
            created_at: Time(created_at),
        }
    }
}

/// A version with its source.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VersionWithSource)]
struct Whole {
    #[serde(flatten)]
    version: View,
    source: String,
    #[schema(required)]
    source_map: Option<String>,
}

/// List a script's versions, the newest first
#[utoipa::path(get, path = "/api/scripts/{script}/versions", tag = "versions",
    params(Page, ("script" = String, Path, description = "Its id or its name")),
    responses((status = 200, body = Slice<View>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(named): Path<String>,
    page: Page,
) -> Result<Json<Slice<View>>, Problem> {
    caller.require("Script.Read")?;
    require_stored(&api, &caller, &named)?;
    let before = page.after()?.unwrap_or(i64::MAX);
    let (script, versions) = api.host.library().versions(&caller.tenant, &named, before, page.rows()).await?;
    let views = versions.into_iter().map(|version| View::new(&script, version)).collect();
    Ok(Json(page.slice(views, |view: &View| view.number)))
}

/// A source to keep.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewVersion)]
#[serde(deny_unknown_fields)]
struct New {
    /// JavaScript, as one file.
    #[schema(max_length = 1048576)]
    source: String,
    /// Where it was made from other files.
    #[serde(default)]
    #[schema(max_length = 1048576, pattern = r"^[^\u0000]*$")]
    source_map: Option<String>,
    /// What has changed, and why.
    #[serde(default)]
    #[schema(max_length = 1000, pattern = r"^[^\u0000]*$")]
    message: String,
}

/// Save a source as the next version, if it compiles
///
/// It is not deployed by that. A source that equals the last version's answers
/// that version, with 200.
#[utoipa::path(post, path = "/api/scripts/{script}/versions", tag = "versions", request_body = New,
    params(("script" = String, Path, description = "Its id or its name")),
    responses((status = 201, body = View), (status = 200, body = View)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(named): Path<String>,
    Body(new): Body<New>,
) -> Result<impl IntoResponse + use<>, Problem> {
    caller.require("Script.Update")?;
    require_stored(&api, &caller, &named)?;
    let library = api.host.library();
    let source = Source { text: new.source, map: new.source_map, author: caller.user.id.clone(), message: new.message };
    let (version, is_new) = library.add_version(&caller.tenant, &named, source).await?;
    let script = library.get(&caller.tenant, &named).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let place = format!("/api/scripts/{}/versions/{}", script.id, version.number);
    Ok((status, AppendHeaders([(LOCATION, place)]), Json(View::new(&script, version))))
}

/// Read a version with its source
#[utoipa::path(get, path = "/api/scripts/{script}/versions/{number}", tag = "versions",
    params(("script" = String, Path, description = "Its id or its name"), ("number" = i64, Path, minimum = 1)),
    responses((status = 200, body = Whole)))]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    Path((named, number)): Path<(String, i64)>,
) -> Result<Json<Whole>, Problem> {
    caller.require("Script.Read")?;
    require_stored(&api, &caller, &named)?;
    let (script, version, source, source_map) = api.host.library().version(&caller.tenant, &named, number).await?;
    Ok(Json(Whole { version: View::new(&script, version), source, source_map }))
}

/// What deploying takes.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct Deploy {
    /// That the script may reach more by it. Needs `Script.Grant`.
    confirm_capabilities: bool,
}

/// Make calls run a version
///
/// An older one is a rollback. A version that may reach more than the one that is
/// deployed needs confirmation; the problem `capabilities_unconfirmed` says of what.
#[utoipa::path(post, path = "/api/scripts/{script}/versions/{number}/deploy", tag = "versions", request_body = Deploy,
    params(("script" = String, Path, description = "Its id or its name"), ("number" = i64, Path, minimum = 1)),
    responses((status = 200, body = ScriptView)))]
async fn deploy(
    State(api): State<Api>,
    caller: Caller,
    Path((named, number)): Path<(String, i64)>,
    Body(deploy): Body<Deploy>,
) -> Result<Json<ScriptView>, Problem> {
    caller.require("Script.Update")?;
    require_stored(&api, &caller, &named)?;
    let consent = Consent::new(deploy.confirm_capabilities, caller.may(GRANT));
    Ok(Json(api.host.library().deploy(&caller.tenant, &named, number, consent).await?.into()))
}

/// Which versions to compare.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Pair {
    /// The older one's number. Left out: the deployed one, or nothing.
    #[param(minimum = 1)]
    from: Option<i64>,
    /// The newer one's number. Left out: the last one.
    #[param(minimum = 1)]
    to: Option<i64>,
}

/// What differs between two versions.
#[derive(Serialize, ToSchema)]
struct Difference {
    /// Null: nothing, where no version is deployed.
    #[schema(required)]
    from: Option<i64>,
    to: i64,
    /// As a unified diff.
    source: String,
    /// What the newer one may use and the older one may not, by list.
    #[schema(value_type = grant::Shown)]
    gains: Lists,
    /// What the older one may use and the newer one may not, by list.
    #[schema(value_type = grant::Shown)]
    loses: Lists,
}

/// Compare two versions: their text, and what each may reach
#[utoipa::path(get, path = "/api/scripts/{script}/compare", tag = "versions",
    params(Pair, ("script" = String, Path, description = "Its id or its name")),
    responses((status = 200, body = Difference)))]
async fn compare(
    State(api): State<Api>,
    caller: Caller,
    Path(named): Path<String>,
    Query(pair): Query<Pair>,
) -> Result<Json<Difference>, Problem> {
    caller.require("Script.Read")?;
    require_stored(&api, &caller, &named)?;
    let library = api.host.library();
    let script = library.get(&caller.tenant, &named).await?;
    let (from, to) = (pair.from.or(script.deployed), pair.to.unwrap_or(script.latest));
    let (script, newer, new, _) = library.version(&caller.tenant, &script.id, to).await?;
    let (older, old) = match from {
        None => (None, String::new()),
        Some(from) => {
            let (_, older, old, _) = library.version(&caller.tenant, &script.id, from).await?;
            (Some(older), old)
        }
    };
    let reaches = |version: &Version| reach(&script.draft, version.declared.as_ref());
    let (before, after) = (older.as_ref().map(reaches).unwrap_or_default(), reaches(&newer));
    let names = (older.map_or("/dev/null".into(), |older| older.file), newer.file);
    let source = tokio::task::spawn_blocking(move || difference(&old, &new, &names)).await;
    let source = source.map_err(|reason| {
        tracing::error!(%reason, "comparing two versions failed");
        Problem::internal()
    })?;
    Ok(Json(Difference {
        from,
        to,
        source,
        gains: grant::beyond(&after, &before),
        loses: grant::beyond(&before, &after),
    }))
}

fn difference(old: &str, new: &str, (older, newer): &(String, String)) -> String {
    similar::TextDiff::configure()
        .timeout(COMPARING)
        .diff_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(older, newer)
        .to_string()
}
