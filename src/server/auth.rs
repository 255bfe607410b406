//! Who calls: bearer tokens.

use std::collections::HashMap;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HeaderValue};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::settings::{TokenDigest, UserSettings};
use crate::tenant::User;

/// Who calls, as the request's credentials say.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant's id.
    pub tenant: String,
    /// With the permissions of now, and of those no more than the credentials allow.
    pub user: User,
}

impl Caller {
    /// Refuses a caller who lacks the permission.
    pub fn require(&self, permission: &str) -> Result<(), Problem> {
        if self.user.permissions.hold(permission) { Ok(()) } else { Err(Problem::missing(permission)) }
    }
}

/// Users by the digest of their token. Looking up a digest tells a caller who
/// measures times nothing of the tokens: which digest a guess has, the caller
/// knows, but not how to bend it.
pub struct Directory(HashMap<TokenDigest, UserSettings>);

/// A token is this long at most.
const MAX_TOKEN: usize = 4096;

impl Directory {
    pub fn new(users: &[UserSettings]) -> Directory {
        Directory(users.iter().map(|user| (user.token, user.clone())).collect())
    }

    /// The user who calls; None where the request names nobody. Credentials that
    /// are not a known token are refused, also where nobody need be named: who
    /// means to be someone is never served as no one.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Option<&UserSettings>, Problem> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        // Of two, a proxy before us may have checked the other one.
        if values.next().is_some() {
            return Err(Problem::unauthorized());
        }
        bearer(value).and_then(|token| self.find(token)).map(Some).ok_or_else(Problem::unauthorized)
    }

    fn find(&self, token: &[u8]) -> Option<&UserSettings> {
        let digest = TokenDigest::of(token);
        self.0.get(&digest).filter(|user| bool::from(user.token.0.ct_eq(&digest.0)))
    }
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    let sound = scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty() && token.len() <= MAX_TOKEN;
    sound.then_some(token)
}
