//! Requests that came with an `Idempotency-Key`, in the host's database.

use std::sync::Arc;

use uuid::Uuid;

use crate::scripts::Refused;
use crate::store::clock::Millis;
use crate::store::expiry::Passing;
use crate::store::usage::{self, Usage};
use crate::store::{Connection, Store};
use crate::tenant::quota::{Account, Quota};

/// What a row takes up without its answer.
const ROW: i64 = 200;

/// A request.
pub struct Entry {
    pub tenant: String,
    /// Of the user and the key.
    pub id: Vec<u8>,
    /// Of all that is asked.
    pub fingerprint: Vec<u8>,
    /// Names this try to do it.
    pub attempt: String,
    /// How long it may take, in milliseconds.
    pub busy_for: Millis,
    /// Whether it may be done again where nobody knows how far it came.
    pub is_repeatable: bool,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub sealed: bool,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// Do it. What it makes has that id.
    Now { makes: Uuid },
    /// It was done. None: its answer was not kept.
    Before(Option<Answer>),
    /// The key belongs to another request.
    Other,
    /// Somebody does it.
    Busy,
    /// Somebody did, and died.
    Unknown,
}

#[derive(sqlx::FromRow)]
struct Row {
    fingerprint: Vec<u8>,
    makes: String,
    busy_until: Option<Millis>,
    status: Option<i64>,
    headers: Option<String>,
    body: Option<Vec<u8>>,
    sealed: i64,
    expires_at: Millis,
}

impl Row {
    fn answer(self) -> Option<Answer> {
        Some(Answer {
            status: u16::try_from(self.status?).ok()?,
            headers: serde_json::from_str(&self.headers?).ok()?,
            body: self.body?,
            sealed: self.sealed != 0,
        })
    }
}

impl Entry {
    /// Notes that a request is being done, if it is to be.
    pub async fn begin(&self, store: &Store, account: Arc<Account>) -> Result<Begun, Refused> {
        let Entry { tenant, id, fingerprint, attempt, busy_for, is_repeatable } = self;
        let (owner, id, attempt) = (tenant.clone(), id.clone(), attempt.clone());
        let (fingerprint, busy_for, is_repeatable, now) = (fingerprint.clone(), *busy_for, *is_repeatable, store.now());
        let busy_until = now + busy_for;
        store
            .write(tenant, move |connection| {
                Box::pin(async move {
                    Passing::Requests.sweep(connection, &owner, now).await?;
                    let known: Option<Row> = sqlx::query_as(
                        "SELECT fingerprint, makes, busy_until, status, headers, body, sealed, expires_at
                         FROM idempotent_requests WHERE tenant = $1 AND id = $2",
                    )
                    .bind(&owner)
                    .bind(id.clone())
                    .fetch_optional(&mut *connection)
                    .await?;
                    match known {
                        Some(known) if known.expires_at > now => {
                            if known.fingerprint != fingerprint {
                                return Ok(Begun::Other);
                            }
                            match known.busy_until {
                                None => return Ok(Begun::Before(known.answer())),
                                Some(until) if until > now => return Ok(Begun::Busy),
                                Some(_) if !is_repeatable => return Ok(Begun::Unknown),
                                Some(_) => {}
                            }
                            sqlx::query(
                                "UPDATE idempotent_requests SET try = $3, busy_until = $4 WHERE tenant = $1 AND id = $2",
                            )
                            .bind(owner)
                            .bind(id)
                            .bind(attempt)
                            .bind(busy_until)
                            .execute(connection)
                            .await?;
                            let makes = Uuid::try_parse(&known.makes)
                                .map_err(|reason| sqlx::Error::Decode(reason.into()))?;
                            return Ok(Begun::Now { makes });
                        }
                        Some(_) => Passing::Requests.delete(connection, &owner, id.clone()).await?,
                        None => {}
                    }
                    let makes = Uuid::now_v7();
                    sqlx::query(
                        "INSERT INTO idempotent_requests
                         (tenant, id, fingerprint, makes, try, busy_until, sealed, bytes, expires_at)
                         VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)",
                    )
                    .bind(&owner)
                    .bind(id)
                    .bind(fingerprint)
                    .bind(makes.to_string())
                    .bind(attempt)
                    .bind(busy_until)
                    .bind(ROW)
                    .bind(now + super::KEEP)
                    .execute(&mut *connection)
                    .await?;
                    let more = Usage { items: 1, bytes: ROW };
                    let used = usage::add(connection, &owner, Passing::Requests.room(), more).await?;
                    account.check(Quota::IdempotentRequests, used.items.max(0) as u64)?;
                    account.check(Quota::IdempotentBytes, used.bytes.max(0) as u64)?;
                    Ok(Begun::Now { makes })
                })
            })
            .await
    }

    /// Keeps the answer. None: it cannot be kept. Does nothing where another try
    /// has begun meanwhile.
    pub async fn end(&self, store: &Store, answer: Option<Answer>) -> sqlx::Result<()> {
        let headers = answer.as_ref().map(|answer| serde_json::to_string(&answer.headers)).transpose();
        let headers = headers.map_err(|reason| sqlx::Error::Encode(reason.into()))?;
        let (tenant, id, attempt) = (self.tenant.clone(), self.id.clone(), self.attempt.clone());
        store
            .write(&self.tenant, move |connection| {
                Box::pin(async move {
                    let more = answer.as_ref().map_or(0, |answer| answer.body.len() as i64);
                    let kept = sqlx::query(
                        "UPDATE idempotent_requests SET busy_until = NULL, status = $4, headers = $5, body = $6,
                         sealed = $7, bytes = $8 WHERE tenant = $1 AND id = $2 AND try = $3",
                    )
                    .bind(&tenant)
                    .bind(id)
                    .bind(attempt)
                    .bind(answer.as_ref().map(|answer| i64::from(answer.status)))
                    .bind(headers)
                    .bind(answer.as_ref().map(|answer| answer.body.clone()))
                    .bind(answer.as_ref().map_or(0, |answer| i64::from(answer.sealed)))
                    .bind(ROW + more)
                    .execute(&mut *connection)
                    .await?;
                    if kept.rows_affected() > 0 {
                        let more = Usage { items: 0, bytes: more };
                        usage::add(connection, &tenant, Passing::Requests.room(), more).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Forgets the request, which may be sent again.
    pub async fn release(&self, store: &Store) -> sqlx::Result<()> {
        let (tenant, id, attempt) = (self.tenant.clone(), self.id.clone(), self.attempt.clone());
        store
            .write(&self.tenant, move |connection| {
                Box::pin(async move {
                    if is_mine(connection, &tenant, &id, &attempt).await? {
                        Passing::Requests.delete(connection, &tenant, id).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

async fn is_mine(connection: &mut Connection, tenant: &str, id: &[u8], attempt: &str) -> sqlx::Result<bool> {
    let found: Option<String> =
        sqlx::query_scalar("SELECT try FROM idempotent_requests WHERE tenant = $1 AND id = $2 AND try = $3")
            .bind(tenant)
            .bind(id.to_vec())
            .bind(attempt)
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}
