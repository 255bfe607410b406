//! `/api/tokens`: what programs call with for their users.

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::whole;
use super::idempotency::{Confidential, Intended};
use super::{Api, Body, Caller, Page, Path, Problem, Slice, Time};
use crate::scripts::draft::{WORD, is_word};
use crate::tenant::token::{self, Refused, Token};
use crate::tenant::{Authority, Permissions};

const MANAGE: &str = "Token.Manage";
const DAY: i64 = 24 * 60 * 60 * 1000;
/// Days that a token may hold at most, and where nothing is said.
const MOST: u32 = 3650;
const DAYS: u32 = 90;
/// Characters of a name, and scopes of one token.
const NAME: usize = 100;
const SCOPES: usize = 100;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
struct View {
    id: String,
    name: String,
    /// The id of the user that it stands for.
    user: String,
    /// The permissions that it allows, of those that the user has.
    scopes: Vec<String>,
    created_at: Time,
    expires_at: Time,
}

impl From<Token> for View {
    fn from(token: Token) -> View {
        View {
            id: token.id,
            name: token.name,
            user: token.user,
            scopes: token.scopes.into(),
            created_at: Time(token.created_at),
            expires_at: Time(token.expires_at),
        }
    }
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewToken)]
#[serde(deny_unknown_fields)]
struct New {
    /// What it is for.
    #[schema(
        max_length = 100,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$"
    )]
    name: String,
    /// Permissions that you have, such as `Script.Execute` and `orders.*`.
    #[schema(min_items = 1, max_items = 100, value_type = Vec<Permission>)]
    scopes: Vec<String>,
    /// 90 where nothing is said.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u32>,
}

/// A permission, such as `orders.view`.
#[derive(ToSchema)]
#[schema(value_type = String, max_length = 200, pattern = r"^[^\s\u0000-\u001F\u007F-\u009F]+$")]
#[expect(dead_code, reason = "only the document uses it")]
struct Permission(String);

/// A token that was just made.
#[derive(Serialize, ToSchema)]
struct Made {
    #[serde(flatten)]
    #[schema(inline)]
    view: View,
    /// What to send as `Authorization: Bearer …`. It is not shown again.
    token: String,
}

/// List the tenant's tokens
#[utoipa::path(get, path = "/api/tokens", tag = "tokens", params(Page), responses((status = 200, body = Slice<View>)))]
async fn list(State(api): State<Api>, caller: Caller, page: Page) -> Result<Json<Slice<View>>, Problem> {
    caller.require(MANAGE)?;
    let after: String = page.after()?.unwrap_or_default();
    let tokens = api.host.tokens().list(&caller.tenant, &after, page.rows()).await?;
    let views = tokens.into_iter().map(View::from).collect();
    Ok(Json(page.slice(views, |view: &View| view.id.clone())))
}

/// Make a token for yourself
///
/// It does what you may do within its scopes. A permission that you lose, it
/// loses too; where a signed token named you, the scopes are those you have now.
#[utoipa::path(post, path = "/api/tokens", tag = "tokens", request_body = New, responses((status = 201, body = Made)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Intended(id): Intended,
    Body(new): Body<New>,
) -> Result<(StatusCode, Extension<Confidential>, Json<Made>), Problem> {
    caller.require(MANAGE)?;
    let name = new.name.trim();
    if name.is_empty() || new.name.chars().count() > NAME || new.name.chars().any(char::is_control) {
        return Err(Problem::invalid("name", format!("A name has 1 to {NAME} characters.")));
    }
    if !(1..=SCOPES).contains(&new.scopes.len()) {
        return Err(Problem::invalid("scopes", format!("A token has 1 to {SCOPES} scopes.")));
    }
    if let Some(index) = new.scopes.iter().position(|scope| !is_word(scope)) {
        let detail = format!("A scope is a permission such as `orders.view`, of {WORD} characters at most.");
        return Err(Problem::invalid(&format!("scopes[{index}]"), detail));
    }
    let days = new.expires_in_days.unwrap_or(DAYS);
    if !(1..=MOST).contains(&days) {
        return Err(Problem::invalid("expires_in_days", format!("This is a number from 1 to {MOST}.")));
    }
    if let Some(scope) = new.scopes.iter().find(|scope| !caller.may(scope)) {
        return Err(Problem::missing(scope));
    }
    let listed = !matches!(caller.authority, Authority::Claimed);
    let expires_at = api.host.now() + i64::from(days) * DAY;
    let account = api.host.process().quotas.account(&caller.tenant);
    let scopes = Permissions::new(new.scopes);
    let asked = token::New { request: id, listed, name: name.to_owned(), scopes, expires_at };
    let made = api.host.tokens().create(account, &caller.user, asked).await;
    match made {
        Ok((token, text)) => {
            Ok((StatusCode::CREATED, Extension(Confidential), Json(Made { view: token.into(), token: text })))
        }
        Err(Refused::Quota(exceeded)) => Err(crate::scripts::Refused::Quota(exceeded).into()),
        Err(Refused::Store(reason)) => Err(reason.into()),
        Err(Refused::NoRandomness) => {
            tracing::error!("the system has no random numbers");
            Err(Problem::internal())
        }
    }
}

/// Revoke a token
#[utoipa::path(delete, path = "/api/tokens/{token}", tag = "tokens", params(("token" = String, Path, description = "Its id")),
    responses((status = 204)))]
async fn revoke(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    caller.require(MANAGE)?;
    match api.host.tokens().revoke(&caller.tenant, &id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::no_such("token of this id")),
    }
}
