//! Who calls: the bearer tokens of the settings, those that users made, and
//! signed ones; and what checks the signatures of webhooks.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HeaderValue};
use subtle::ConstantTimeEq;

use super::jwt::{Claimed, Jwt};
use super::problem::Problem;
use super::webhook::Webhooks;
use crate::host::Host;
use crate::settings::{TokenDigest, UserSettings};
use crate::tenant::token::{self, Tokens};
use crate::tenant::{Authority, People, User};

/// Who calls, as the request's credentials say.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant's id.
    pub tenant: String,
    /// With the permissions of now, and of those no more than the credentials allow.
    pub user: User,
    pub authority: Authority,
}

impl Caller {
    /// Refuses a caller who lacks the permission.
    pub fn require(&self, permission: &str) -> Result<(), Problem> {
        if self.may(permission) { Ok(()) } else { Err(Problem::missing(permission)) }
    }

    pub fn may(&self, permission: &str) -> bool {
        self.user.permissions.hold(permission)
    }
}

/// Tells who calls.
pub struct Credentials {
    /// Users by the digest of their token. Looking up a digest tells a caller who
    /// measures times nothing of the tokens: which digest a guess has, the caller
    /// knows, but not how to bend it.
    users: HashMap<TokenDigest, UserSettings>,
    tokens: Option<Arc<Tokens>>,
    jwt: Option<Arc<Jwt>>,
    /// None where there are no secrets to check with.
    pub webhooks: Option<Arc<Webhooks>>,
}

/// A token is this long at most.
const MAX_TOKEN: usize = 4096;

impl Credentials {
    /// Those of a host.
    pub fn of(host: &Host) -> Credentials {
        let (tokens, jwt) = (Some(host.tokens().clone()), host.jwt().cloned());
        let webhooks = Some(host.webhooks().clone());
        Credentials { tokens, jwt, webhooks, ..Credentials::new(&host.settings().users) }
    }

    /// The tokens of the settings alone.
    pub fn new(users: &[UserSettings]) -> Credentials {
        let users = users.iter().map(|user| (user.token, user.clone())).collect();
        Credentials { users, tokens: None, jwt: None, webhooks: None }
    }

    /// Who calls; None where the request names nobody. Credentials that are not
    /// a known token are refused, also where nobody need be named: who means to
    /// be someone is never served as no one.
    pub async fn caller(&self, headers: &HeaderMap, people: &People) -> Result<Option<Caller>, Problem> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        // Of two, a proxy before us may have checked the other one.
        if values.next().is_some() {
            return Err(Problem::unauthorized());
        }
        let token = bearer(value).ok_or_else(Problem::unauthorized)?;
        if let Some(known) = self.find(token) {
            let user = people.user(&known.tenant, &known.user.id).ok_or_else(Problem::unauthorized)?;
            return Ok(Some(Caller { tenant: known.tenant.clone(), user, authority: Authority::Listed }));
        }
        let text = std::str::from_utf8(token).map_err(|_| Problem::unauthorized())?;
        if let Some(tokens) = self.tokens.as_ref().filter(|_| text.starts_with(token::PREFIX)) {
            let token = tokens.verify(text).await?.ok_or_else(Problem::unauthorized)?;
            let authority = match token.listed {
                true => Authority::Scoped(token.scopes.clone()),
                false => Authority::Claimed,
            };
            let claimed = User { id: token.user, permissions: token.scopes, ..User::default() };
            let user = authority.user(people, &token.tenant, &claimed).ok_or_else(Problem::unauthorized)?;
            return Ok(Some(Caller { tenant: token.tenant, user, authority }));
        }
        if let Some(jwt) = &self.jwt {
            let claimed = jwt.verify(text).await.ok_or_else(Problem::unauthorized)?;
            let Claimed { tenant, user } = claimed;
            return Ok(Some(Caller { tenant, user, authority: Authority::Claimed }));
        }
        Err(Problem::unauthorized())
    }

    fn find(&self, token: &[u8]) -> Option<&UserSettings> {
        let digest = TokenDigest::of(token);
        self.users.get(&digest).filter(|user| bool::from(user.token.0.ct_eq(&digest.0)))
    }
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    let sound = scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty() && token.len() <= MAX_TOKEN;
    sound.then_some(token)
}
