//! Tokens that users make for programs: opaque, and kept as a digest only.
//!
//! A token is `airlock_`, its id, `_` and its secret, both in hexadecimal. It
//! stands for its user, and for no more permissions than its scopes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::quota::{Account, Exceeded, Quota};
use super::{Permissions, User};
use crate::hexadecimal;
use crate::store::clock::Millis;
use crate::store::{Connection, Store};

/// What every token begins with, so that tools find leaked ones.
pub const PREFIX: &str = "airlock_";
const ID_BYTES: usize = 12;
const SECRET_BYTES: usize = 32;

/// How long a host believes what it read of a token. One that was revoked on
/// another host is refused after that.
const FRESH: Millis = 1000;
/// Tokens that a host remembers.
const REMEMBERED: usize = 10_000;

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub tenant: String,
    pub id: String,
    pub name: String,
    /// The id of the user that it stands for.
    pub user: String,
    /// Whether that is a user of the settings, whose permissions of now bound it.
    pub listed: bool,
    pub scopes: Permissions,
    pub created_at: Millis,
    pub expires_at: Millis,
}

/// A token to make.
#[derive(Debug)]
pub struct New {
    /// What asks for it. A token that the same has made before goes.
    pub request: Uuid,
    pub listed: bool,
    pub name: String,
    pub scopes: Permissions,
    pub expires_at: Millis,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Quota(#[from] Exceeded),
    #[error("the system has no random numbers")]
    NoRandomness,
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// What the process owns of them.
pub struct Tokens {
    store: Store,
    /// By id, with when they were read.
    known: Mutex<HashMap<String, (Arc<Kept>, Millis)>>,
}

#[derive(Debug)]
struct Kept {
    token: Token,
    digest: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: String,
    id: String,
    name: String,
    user_id: String,
    listed: i64,
    digest: Vec<u8>,
    scopes: String,
    created_at: Millis,
    expires_at: Millis,
}

impl Row {
    fn read(self) -> sqlx::Result<Kept> {
        let scopes = serde_json::from_str(&self.scopes).map_err(|reason| sqlx::Error::Decode(reason.into()))?;
        let token = Token {
            tenant: self.tenant,
            id: self.id,
            name: self.name,
            user: self.user_id,
            listed: self.listed != 0,
            scopes,
            created_at: self.created_at,
            expires_at: self.expires_at,
        };
        Ok(Kept { token, digest: self.digest })
    }
}

const COLUMNS: &str = "tenant, id, name, user_id, listed, digest, scopes, created_at, expires_at";

impl Tokens {
    pub fn new(store: Store) -> Tokens {
        Tokens { store, known: Mutex::default() }
    }

    /// Makes a token for a user; answers it with its text, which is shown once.
    pub async fn create(&self, account: Arc<Account>, user: &User, new: New) -> Result<(Token, String), Refused> {
        let New { request, listed, name, scopes, expires_at } = new;
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|_| Refused::NoRandomness)?;
        let secret = hexadecimal::encode(&secret);
        let mut id = hexadecimal::encode(&Sha256::digest(request));
        id.truncate(2 * ID_BYTES);
        let text = format!("{PREFIX}{id}_{secret}");
        let tenant = account.tenant().to_string();
        let token = Token {
            tenant: tenant.clone(),
            id,
            name,
            user: user.id.clone(),
            listed,
            scopes,
            created_at: self.store.now(),
            expires_at,
        };
        let kept = token.clone();
        let digest = Sha256::digest(&secret).to_vec();
        let made = self.store.write(&tenant, move |connection| {
            Box::pin(async move {
                sqlx::query("DELETE FROM tokens WHERE tenant = $1 AND id = $2")
                    .bind(&kept.tenant)
                    .bind(&kept.id)
                    .execute(&mut *connection)
                    .await?;
                insert(connection, &kept, &digest).await?;
                // One that has expired is of no use to anyone.
                sqlx::query("DELETE FROM tokens WHERE tenant = $1 AND expires_at <= $2")
                    .bind(&kept.tenant)
                    .bind(kept.created_at)
                    .execute(&mut *connection)
                    .await?;
                let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tokens WHERE tenant = $1")
                    .bind(&kept.tenant)
                    .fetch_one(connection)
                    .await?;
                account.check(Quota::Tokens, count.max(0) as u64)?;
                Ok::<_, Refused>(())
            })
        });
        made.await?;
        Ok((token, text))
    }

    /// A tenant's tokens in the order of their ids, after a given one.
    pub async fn list(&self, tenant: &str, after: &str, rows: i64) -> sqlx::Result<Vec<Token>> {
        let (tenant, after) = (tenant.to_owned(), after.to_owned());
        let query = format!("SELECT {COLUMNS} FROM tokens WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3");
        let found: Vec<Row> = self
            .store
            .read(move |connection| {
                Box::pin(
                    sqlx::query_as(sqlx::AssertSqlSafe(query))
                        .bind(tenant)
                        .bind(after)
                        .bind(rows)
                        .fetch_all(connection),
                )
            })
            .await?;
        found.into_iter().map(|row| row.read().map(|kept| kept.token)).collect()
    }

    /// Ends a token: on this host at once, on others within a second. Answers
    /// whether there was one.
    pub async fn revoke(&self, tenant: &str, id: &str) -> sqlx::Result<bool> {
        let (owner, revoked) = (tenant.to_owned(), id.to_owned());
        let deleted: sqlx::Result<bool> = self
            .store
            .write(tenant, move |connection| {
                Box::pin(async move {
                    let deleted = sqlx::query("DELETE FROM tokens WHERE tenant = $1 AND id = $2")
                        .bind(owner)
                        .bind(revoked)
                        .execute(connection)
                        .await?;
                    Ok(deleted.rows_affected() > 0)
                })
            })
            .await;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        deleted
    }

    /// The token that a text is, if it is one that holds now.
    pub async fn verify(&self, text: &str) -> sqlx::Result<Option<Token>> {
        let Some((id, secret)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else {
            return Ok(None);
        };
        if id.len() != 2 * ID_BYTES || secret.len() != 2 * SECRET_BYTES {
            return Ok(None);
        }
        let Some(kept) = self.find(id).await? else { return Ok(None) };
        let holds = bool::from(Sha256::digest(secret)[..].ct_eq(&kept.digest));
        Ok((holds && kept.token.expires_at > self.store.now()).then(|| kept.token.clone()))
    }

    async fn find(&self, id: &str) -> sqlx::Result<Option<Arc<Kept>>> {
        let now = self.store.now();
        if let Some((kept, read)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id)
            && now - read < FRESH
        {
            return Ok(Some(kept.clone()));
        }
        let query = format!("SELECT {COLUMNS} FROM tokens WHERE id = $1");
        let wanted = id.to_owned();
        let row: Option<Row> = self
            .store
            .read(move |connection| {
                Box::pin(sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(wanted).fetch_optional(connection))
            })
            .await?;
        let kept = row.map(Row::read).transpose()?.map(Arc::new);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        match &kept {
            Some(kept) => drop(known.insert(id.to_owned(), (kept.clone(), now))),
            None => drop(known.remove(id)),
        }
        Ok(kept)
    }
}

async fn insert(connection: &mut Connection, token: &Token, digest: &[u8]) -> sqlx::Result<()> {
    let scopes = serde_json::to_string(&token.scopes).map_err(|reason| sqlx::Error::Encode(reason.into()))?;
    sqlx::query(
        "INSERT INTO tokens (tenant, id, name, user_id, listed, digest, scopes, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&token.tenant)
    .bind(&token.id)
    .bind(&token.name)
    .bind(&token.user)
    .bind(i64::from(token.listed))
    .bind(digest.to_vec())
    .bind(scopes)
    .bind(token.created_at)
    .bind(token.expires_at)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;
    use crate::store::clock::Clock;
    use crate::store::fixture::{Lasting, on_both_databases};
    use crate::tenant::quota::{Ledger, Quotas};

    on_both_databases!(a_token_holds_until_it_ends, one_that_others_revoke_ends_within_a_second, a_tenant_has_so_many);

    fn ledger(tokens: u64) -> Ledger {
        Ledger::new(Quotas { tokens, ..Quotas::default() }, HashMap::new(), Clock::manual(0))
    }

    async fn make(
        tokens: &Tokens,
        ledger: &Ledger,
        tenant: &str,
        expires_at: Millis,
    ) -> Result<(Token, String), Refused> {
        let user = User { id: "ann".to_owned(), ..User::default() };
        let scopes = Permissions::new(["orders.*".to_owned()]);
        let new = New { request: Uuid::now_v7(), listed: true, name: "a".to_owned(), scopes, expires_at };
        tokens.create(ledger.account(tenant), &user, new).await
    }

    async fn a_token_holds_until_it_ends(kind: Kind) {
        let clock = Clock::manual(1_000_000);
        let tokens = Tokens::new(Store::fresh(kind).await.with_clock(clock.clone()));
        let (token, text) = make(&tokens, &ledger(9), "acme", 1_000_100).await.unwrap();
        assert_eq!(tokens.verify(&text).await.unwrap(), Some(token.clone()));
        let (id, secret) = text.strip_prefix(PREFIX).unwrap().split_once('_').unwrap();
        assert_eq!(id, token.id);
        let other = make(&tokens, &ledger(9), "globex", 1_000_100).await.unwrap().0.id;
        for wrong in [
            text.replace("airlock_", "warlock_"),
            text[..text.len() - 1].to_owned(),
            format!("{text}0"),
            format!("{PREFIX}{id}_{}", "0".repeat(64)),
            format!("{PREFIX}{id}_{}", secret.to_uppercase()),
            format!("{PREFIX}{}_{secret}", "0".repeat(24)),
            format!("{PREFIX}{other}_{secret}"),
            PREFIX.to_owned(),
        ] {
            if wrong != text {
                assert_eq!(tokens.verify(&wrong).await.unwrap(), None, "{wrong}");
            }
        }
        assert!(!tokens.revoke("globex", &token.id).await.unwrap(), "another tenant's");
        clock.advance(100);
        assert_eq!(tokens.verify(&text).await.unwrap(), None, "it has expired");
        // The next one that is made takes it away.
        make(&tokens, &ledger(9), "acme", 2_000_000).await.unwrap();
        assert_eq!(tokens.list("acme", "", 9).await.unwrap().len(), 1);
    }

    async fn one_that_others_revoke_ends_within_a_second(kind: Kind) {
        let (clock, database) = (Clock::manual(1_000_000), Lasting::new(kind).await);
        let here = Tokens::new(database.open().await.with_clock(clock.clone()));
        let there = Tokens::new(database.open().await.with_clock(clock.clone()));
        let (token, text) = make(&here, &ledger(9), "acme", 2_000_000).await.unwrap();
        assert!(there.verify(&text).await.unwrap().is_some() && here.verify(&text).await.unwrap().is_some());
        assert!(here.revoke("acme", &token.id).await.unwrap());
        assert_eq!(here.verify(&text).await.unwrap(), None);
        clock.advance(FRESH);
        assert_eq!(there.verify(&text).await.unwrap(), None);
        assert!(!here.revoke("acme", &token.id).await.unwrap());
    }

    async fn a_tenant_has_so_many(kind: Kind) {
        let tokens = Tokens::new(Store::fresh(kind).await);
        let ledger = ledger(1);
        make(&tokens, &ledger, "acme", Millis::MAX).await.unwrap();
        assert!(matches!(make(&tokens, &ledger, "acme", Millis::MAX).await, Err(Refused::Quota(_))));
        make(&tokens, &ledger, "globex", Millis::MAX).await.unwrap();
        assert_eq!(tokens.list("acme", "", 9).await.unwrap().len(), 1);
    }
}
