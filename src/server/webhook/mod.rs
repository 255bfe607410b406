//! Webhooks: requests of other services, let in by their signature.
//!
//! The signature is checked before the script runs, over the bytes as they
//! came. A request is let in once: what was signed is remembered for as long as
//! its signature holds, and forgotten where the host or the script failed, so
//! that the sender may try again.

mod scheme;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::http::header::HeaderName;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::capabilities::Process;
use crate::capabilities::secrets::Name;
use crate::runtime::limits::Limit;
use crate::scripts::Refused;
use crate::store::Store;
use crate::store::clock::Millis;
use crate::store::expiry::Passing;
use crate::store::usage::{self, Usage};
use crate::tenant::quota::Quota;
use scheme::Signing;
pub use scheme::{Algorithm, Claim, Encoding, Scheme};

/// Secrets of one script: the one that is used, and those that it replaces.
const SECRETS: usize = 5;
/// How far a sender's clock and the way may be off, where nothing is said.
const TOLERANCE: Millis = 5 * 60 * 1000;
/// How long a request is remembered at most.
const LONGEST: Millis = 24 * 60 * 60 * 1000;

/// A signature that a script's requests need, as its author writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    pub scheme: Scheme,
    /// Names of the tenant's secrets. While one is replaced, both are listed.
    #[schema(min_items = 1, max_items = 5, value_type = Vec<Name>)]
    pub secrets: Vec<String>,
    /// How old a signed time may be, and how long a request is remembered so
    /// that it is not let in twice: from `1s` to `24h`. Null: `5m`.
    #[serde(default)]
    pub tolerance: Option<String>,
    /// Of `hmac`: the header with the signature.
    #[serde(default)]
    #[schema(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
    pub header: Option<String>,
    /// Of `hmac`. Null: `sha256`.
    #[serde(default)]
    pub algorithm: Option<Algorithm>,
    /// Of `hmac`. Null: `hex`.
    #[serde(default)]
    pub encoding: Option<Encoding>,
    /// Of `hmac`: what stands before the signature, such as `sha256=`.
    #[serde(default)]
    #[schema(max_length = 64, pattern = "^[ -~]*$")]
    pub prefix: Option<String>,
    /// Of `hmac`: a header with the time in seconds, which is signed with a dot
    /// before the body. Null: no time is signed.
    #[serde(default)]
    #[schema(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
    pub timestamp_header: Option<String>,
}

/// The same, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub written: Webhook,
    signing: Signing,
    secrets: Vec<Name>,
    tolerance: Millis,
}

impl Webhook {
    /// The error is the field and what is wrong with it.
    pub fn check(&self) -> Result<Rule, (&'static str, String)> {
        if !(1..=SECRETS).contains(&self.secrets.len()) {
            return Err(("secrets", format!("A webhook has 1 to {SECRETS} secrets.")));
        }
        let names = self.secrets.iter().map(|name| name.parse::<Name>());
        let secrets = names.collect::<Result<_, _>>().map_err(|reason| ("secrets", format!("{reason}.")))?;
        let tolerance = match &self.tolerance {
            None => TOLERANCE,
            Some(text) => Limit::Timeout
                .parse(text)
                .ok()
                .and_then(|time| Millis::try_from(time).ok())
                .filter(|time| (1000..=LONGEST).contains(time))
                .ok_or(("tolerance", "This takes a time from 1s to 24h.".to_owned()))?,
        };
        Ok(Rule { written: self.clone(), signing: self.signing()?, secrets, tolerance })
    }

    fn signing(&self) -> Result<Signing, (&'static str, String)> {
        let of_hmac = [
            ("header", self.header.is_some()),
            ("algorithm", self.algorithm.is_some()),
            ("encoding", self.encoding.is_some()),
            ("prefix", self.prefix.is_some()),
            ("timestamp_header", self.timestamp_header.is_some()),
        ];
        if self.scheme != Scheme::Hmac
            && let Some((field, _)) = of_hmac.into_iter().find(|(_, is_set)| *is_set)
        {
            return Err((field, "This is for the scheme `hmac`; the others know it themselves.".to_owned()));
        }
        let header = |field: &'static str, text: &str| {
            HeaderName::from_bytes(text.as_bytes()).map_err(|_| (field, "This is not the name of a header.".to_owned()))
        };
        Ok(match self.scheme {
            Scheme::Standard => Signing::Standard,
            Scheme::Stripe => Signing::Stripe,
            Scheme::Github => Signing::Github,
            Scheme::Slack => Signing::Slack,
            Scheme::Hmac => {
                let missing = || ("header", "Name the header with the signature, such as `x-signature`.".to_owned());
                let prefix = self.prefix.clone().unwrap_or_default();
                if prefix.len() > 64 || !prefix.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                    return Err(("prefix", "A prefix has at most 64 letters, digits and punctuation.".to_owned()));
                }
                Signing::Hmac {
                    header: header("header", self.header.as_ref().ok_or_else(missing)?)?,
                    algorithm: self.algorithm.unwrap_or_default(),
                    encoding: self.encoding.unwrap_or_default(),
                    prefix,
                    timestamp: self
                        .timestamp_header
                        .as_ref()
                        .map(|name| header("timestamp_header", name))
                        .transpose()?,
                }
            }
        })
    }
}

/// Why a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It lacks a header.
    Unsigned(String),
    /// It was signed too long ago, or in the future.
    Expired,
    /// None of the secrets has made its signature.
    Mismatch,
    /// It was let in before.
    Replayed,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let (code, detail) = match refusal {
            Refusal::Unsigned(header) => {
                ("webhook_unsigned", format!("Requests to this path are signed; the header `{header}` is missing."))
            }
            Refusal::Expired => (
                "webhook_expired",
                "The request was signed too long ago, or by a clock that is ahead; sign it anew.".to_owned(),
            ),
            Refusal::Mismatch => (
                "webhook_mismatch",
                "The signature is not that of this body and of a secret that is known here.".to_owned(),
            ),
            Refusal::Replayed => ("webhook_replayed", "A request with this signature was let in before.".to_owned()),
        };
        Problem::new(StatusCode::UNAUTHORIZED, code, detail)
    }
}

/// What checks signatures. The process owns it.
pub struct Webhooks {
    store: Store,
    process: Arc<Process>,
}

/// A request that was let in.
pub struct Delivery {
    store: Store,
    tenant: String,
    id: Vec<u8>,
}

impl Webhooks {
    pub fn new(store: Store, process: Arc<Process>) -> Webhooks {
        Webhooks { store, process }
    }

    /// What a request claims, before its body is read.
    pub fn claim(&self, rule: &Rule, headers: &HeaderMap) -> Result<Claim, Refusal> {
        rule.signing.claim(headers, self.store.now(), rule.tolerance)
    }

    /// Lets a request in, once.
    pub async fn admit(
        &self,
        tenant: &str,
        script: &str,
        rule: &Rule,
        claim: &Claim,
        body: &[u8],
    ) -> Result<Delivery, Problem> {
        let (mut holds, mut unread) = (false, false);
        for name in &rule.secrets {
            let secret = match self.process.secrets.find(tenant, name).await {
                Ok(secret) => secret,
                // The log has the reason. Another one may hold.
                Err(_) => {
                    unread = true;
                    continue;
                }
            };
            match secret.as_ref().map(|secret| rule.signing.key(secret)) {
                Some(Some(key)) => holds |= claim.holds(&key, body),
                Some(None) => note(tenant, script, name, "is not of the form that its scheme has"),
                None => note(tenant, script, name, "is not there"),
            }
        }
        match (holds, unread) {
            (true, _) => {}
            (false, true) => return Err(Problem::internal()),
            (false, false) => return Err(Refusal::Mismatch.into()),
        }
        let id = claim.digest(script, body).to_vec();
        match self.remember(tenant, id.clone(), rule.tolerance).await {
            Ok(true) => Ok(Delivery { store: self.store.clone(), tenant: tenant.to_owned(), id }),
            Ok(false) => Err(Refusal::Replayed.into()),
            Err(Refused::Quota(exceeded)) => Err(Problem::quota(&exceeded)),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Answers whether it is new.
    async fn remember(&self, tenant: &str, id: Vec<u8>, tolerance: Millis) -> Result<bool, Refused> {
        let (owner, account, now) = (tenant.to_owned(), self.process.quotas.account(tenant), self.store.now());
        // A clock that is ahead signs for so much longer.
        let expires_at = now + 2 * tolerance;
        self.store
            .write(tenant, move |connection| {
                Box::pin(async move {
                    Passing::Webhooks.sweep(connection, &owner, now).await?;
                    let bytes = id.len() as i64;
                    let written = sqlx::query(
                        "INSERT INTO webhook_deliveries (tenant, id, bytes, expires_at) VALUES ($1, $2, $3, $4)
                         ON CONFLICT (tenant, id) DO UPDATE SET expires_at = excluded.expires_at
                         WHERE webhook_deliveries.expires_at <= $5",
                    )
                    .bind(&owner)
                    .bind(id)
                    .bind(bytes)
                    .bind(expires_at)
                    .bind(now)
                    .execute(&mut *connection)
                    .await?;
                    if written.rows_affected() == 0 {
                        return Ok(false);
                    }
                    let more = Usage { items: 1, bytes };
                    let used = usage::add(connection, &owner, Passing::Webhooks.room(), more).await?;
                    account.check(Quota::WebhookDeliveries, used.items.max(0) as u64)?;
                    Ok(true)
                })
            })
            .await
    }
}

fn note(tenant: &str, script: &str, secret: &Name, what: &str) {
    tracing::error!(tenant_id = tenant, script, secret = secret.as_str(), "a webhook's secret {what}");
}

impl Delivery {
    /// Lets the same request in again where the script did not take it.
    pub async fn conclude(self, status: StatusCode) {
        if !status.is_server_error() {
            return;
        }
        let Delivery { store, tenant, id } = self;
        let owner = tenant.clone();
        let forgotten: sqlx::Result<()> = store
            .write(&tenant, move |connection| {
                Box::pin(async move { Passing::Webhooks.delete(connection, &owner, id).await })
            })
            .await;
        if let Err(reason) = forgotten {
            tracing::error!(%reason, tenant_id = tenant, "a webhook that failed could not be forgotten");
        }
    }
}
