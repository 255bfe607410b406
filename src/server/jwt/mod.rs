//! Signed tokens (JWT, RFC 7519) of an identity provider that the settings name.
//!
//! A token says who calls and what they may do, until it expires: nothing of it
//! is looked up here. Its issuer and audience must be those of the settings, and
//! its key one of the provider's (JWKS, RFC 7517), for the algorithm that the
//! key's kind has: HS256, RS256 or EdDSA.

mod crypto;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::settings::{Jwks, JwtSettings};
use crate::tenant::{Permissions, User};

/// How long keys of a URL are used before they are fetched again.
const FRESH: Duration = Duration::from_secs(600);
/// The time between two attempts at least, whatever tokens ask for.
const PAUSE: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a key set.
const MOST: usize = 1 << 20;
/// Bytes of the shortest secret for HS256: as long as its digest (RFC 7518, 3.2).
const SECRET: usize = 32;

/// Checks tokens.
pub struct Jwt {
    settings: JwtSettings,
    client: reqwest::Client,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    keys: Vec<Key>,
    /// When they were asked for last, of a URL.
    asked: Option<Instant>,
    /// When the answer came that holds now.
    fetched: Option<Instant>,
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Who a token says calls.
#[derive(Debug, PartialEq)]
pub struct Claimed {
    /// The tenant's id.
    pub tenant: String,
    pub user: User,
}

impl Jwt {
    /// Reads the keys, where they are in a file.
    pub fn new(settings: JwtSettings) -> Result<Jwt> {
        crypto::install();
        let mut keys = Keys::default();
        if let Jwks::File(path) = &settings.jwks {
            let bytes = std::fs::read(path).with_context(|| format!("reading the keys {}", path.display()))?;
            keys.keys = read(&bytes, true).with_context(|| format!("reading the keys {}", path.display()))?;
            ensure!(!keys.keys.is_empty(), "{} has no key for HS256, RS256 or EdDSA", path.display());
        }
        // Another part of the process may have done so.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("preparing to fetch the keys of [auth.jwt]")?;
        Ok(Jwt { settings, client, keys: Mutex::new(keys) })
    }

    /// Who calls. None: the token does not hold; the log has the reason.
    pub async fn verify(&self, token: &str) -> Option<Claimed> {
        match self.claims(token).await.and_then(|claims| self.claimed(&claims)) {
            Ok(claimed) => Some(claimed),
            Err(reason) => {
                tracing::debug!(reason = format!("{reason:#}"), "a signed token was refused");
                None
            }
        }
    }

    async fn claims(&self, token: &str) -> Result<Map<String, Value>> {
        let header = jsonwebtoken::decode_header(token)?;
        let key =
            self.key(header.kid.as_deref(), header.alg).await.context("it is signed with no key that is known")?;
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        Ok(jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation)?.claims)
    }

    /// The key of that id, or where a token names none, the only one of its kind.
    async fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Key> {
        let mut keys = self.keys.lock().await;
        let find = |keys: &Keys| {
            let mut found = keys.keys.iter().filter(|key| key.algorithm == algorithm);
            match id {
                Some(id) => found.find(|key| key.id.as_deref() == Some(id)).cloned(),
                None => found.next().filter(|_| found.next().is_none()).cloned(),
            }
        };
        let Jwks::Url(url) = &self.settings.jwks else { return find(&keys) };
        let found = find(&keys);
        let is_fresh = keys.fetched.is_some_and(|fetched| fetched.elapsed() < FRESH);
        let asked_lately = keys.asked.is_some_and(|asked| asked.elapsed() < PAUSE);
        if (found.is_some() && is_fresh) || asked_lately {
            return found;
        }
        keys.asked = Some(Instant::now());
        match self.fetch(url).await {
            Ok(fetched) => {
                keys.keys = fetched;
                keys.fetched = Some(Instant::now());
                find(&keys)
            }
            Err(reason) => {
                tracing::warn!(reason = format!("{reason:#}"), "the keys of [auth.jwt] can't be fetched");
                found
            }
        }
    }

    async fn fetch(&self, url: &url::Url) -> Result<Vec<Key>> {
        let mut response = self.client.get(url.clone()).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            ensure!(bytes.len() + chunk.len() <= MOST, "the answer is larger than {MOST} bytes");
            bytes.extend_from_slice(&chunk);
        }
        // A secret that a URL answers is none.
        read(&bytes, false)
    }

    fn claimed(&self, claims: &Map<String, Value>) -> Result<Claimed> {
        let settings = &self.settings;
        let text = |name: &str| claim(claims, name).and_then(Value::as_str).map(str::to_owned);
        let required = |name: &str| {
            let sound = |text: &String| (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
            text(name).filter(sound).with_context(|| format!("its claim `{name}` is missing or no text"))
        };
        let permissions = match claim(claims, &settings.permissions_claim) {
            None => Vec::new(),
            // As OAuth's `scope` is written.
            Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
            Some(Value::Array(list)) => {
                let texts = list.iter().map(|entry| entry.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().context("its permissions are not all text")?
            }
            Some(_) => anyhow::bail!("its permissions are neither a list nor text"),
        };
        let user = User {
            id: required(&settings.user_claim)?,
            email: text("email").unwrap_or_default(),
            name: text("name").unwrap_or_default(),
            permissions: Permissions::new(permissions),
        };
        Ok(Claimed { tenant: required(&settings.tenant_claim)?, user })
    }
}

/// A claim by its name, or by names with dots between for one that is nested.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (outer, rest) = name.split_once('.')?;
        claim(claims.get(outer)?.as_object()?, rest)
    })
}

/// The keys of a set that signatures can be checked with. Others are left out.
fn read(bytes: &[u8], secrets: bool) -> Result<Vec<Key>> {
    // One by one: a set may hold keys of kinds that are not known here.
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(bytes).context("it is no JSON Web Key Set")?;
    let known = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let set = JwkSet { keys: known.collect() };
    Ok(set.keys.iter().filter_map(|jwk| key(jwk, secrets)).collect())
}

fn key(jwk: &Jwk, secrets: bool) -> Option<Key> {
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) if secrets => (Algorithm::HS256, KeyAlgorithm::HS256),
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::OctetKeyPair(_) => (Algorithm::EdDSA, KeyAlgorithm::EdDSA),
        _ => return None,
    };
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    if !signs || jwk.common.key_algorithm.is_some_and(|said| said != name) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    if algorithm == Algorithm::HS256 && key.try_get_as_bytes().ok()?.len() < SECRET {
        tracing::warn!(key = jwk.common.key_id, "a key of [auth.jwt] is shorter than {SECRET} bytes and is not used");
        return None;
    }
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key })
}
