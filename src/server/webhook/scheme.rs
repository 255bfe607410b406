//! How other services sign what they send, and how that is checked.
//!
//! All of them are an HMAC over the body, most with a time before it.

use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::Refusal;
use crate::hexadecimal;
use crate::store::clock::Millis;

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Standard Webhooks, and Svix under its own headers.
    Standard,
    Stripe,
    Github,
    Slack,
    /// Whoever else signs the body, as `header` and the others say.
    Hmac,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// A scheme with all that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    Standard,
    Stripe,
    Github,
    Slack,
    Hmac {
        header: HeaderName,
        algorithm: Algorithm,
        encoding: Encoding,
        /// What stands before the signature in its header.
        prefix: String,
        /// A header with a time in seconds. The time and a dot are signed before
        /// the body.
        timestamp: Option<HeaderName>,
    },
}

/// What a request says of its signature.
pub struct Claim {
    algorithm: hmac::Algorithm,
    /// What is signed before the body.
    before: String,
    /// Any of them will do.
    signatures: Vec<Vec<u8>>,
}

impl Signing {
    /// Reads the headers, and refuses what was signed at another time.
    pub fn claim(&self, headers: &HeaderMap, now: Millis, tolerance: Millis) -> Result<Claim, Refusal> {
        let text = |name: &HeaderName| one(headers, name.as_str()).ok_or_else(|| Refusal::Unsigned(name.to_string()));
        let header = |name: &'static str| text(&HeaderName::from_static(name));
        let within = |time: &str| {
            let seconds: i64 = Some(time)
                .filter(|time| time.len() <= 12 && time.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|time| time.parse().ok())
                .ok_or(Refusal::Mismatch)?;
            let age = now - seconds * 1000;
            if age.abs() <= tolerance { Ok(()) } else { Err(Refusal::Expired) }
        };
        let (algorithm, before, signatures) = match self {
            Signing::Standard => {
                let prefix = if headers.contains_key("svix-signature") { "svix" } else { "webhook" };
                let header = |name: &str| {
                    let name = format!("{prefix}-{name}");
                    one(headers, &name).ok_or(Refusal::Unsigned(name))
                };
                let (id, time, given) = (header("id")?, header("timestamp")?, header("signature")?);
                within(time)?;
                let given = given.split(' ').filter_map(|part| base64(part.strip_prefix("v1,")?)).collect();
                (hmac::HMAC_SHA256, format!("{id}.{time}."), given)
            }
            Signing::Stripe => {
                let parts: Vec<_> =
                    header("stripe-signature")?.split(',').filter_map(|part| part.trim().split_once('=')).collect();
                let of = |key: &'static str| parts.iter().filter(move |part| part.0 == key).map(|part| part.1);
                let time = of("t").next().ok_or(Refusal::Mismatch)?;
                within(time)?;
                (hmac::HMAC_SHA256, format!("{time}."), of("v1").filter_map(hexadecimal::decode).collect())
            }
            Signing::Github => {
                let given = header("x-hub-signature-256")?.strip_prefix("sha256=").and_then(hexadecimal::decode);
                (hmac::HMAC_SHA256, String::new(), given.into_iter().collect())
            }
            Signing::Slack => {
                let (time, given) = (header("x-slack-request-timestamp")?, header("x-slack-signature")?);
                within(time)?;
                let given = given.strip_prefix("v0=").and_then(hexadecimal::decode);
                (hmac::HMAC_SHA256, format!("v0:{time}:"), given.into_iter().collect())
            }
            Signing::Hmac { header, algorithm, encoding, prefix, timestamp } => {
                let before = match timestamp {
                    None => String::new(),
                    Some(timestamp) => {
                        let time = text(timestamp)?;
                        within(time)?;
                        format!("{time}.")
                    }
                };
                let given = text(header)?.strip_prefix(prefix.as_str());
                let given = match encoding {
                    Encoding::Hex => given.and_then(hexadecimal::decode),
                    Encoding::Base64 => given.and_then(base64),
                };
                let algorithm = match algorithm {
                    Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    Algorithm::Sha256 => hmac::HMAC_SHA256,
                    Algorithm::Sha512 => hmac::HMAC_SHA512,
                };
                (algorithm, before, given.into_iter().collect())
            }
        };
        Ok(Claim { algorithm, before, signatures })
    }

    /// A secret's bytes. None where this scheme has no such secrets.
    pub fn key(&self, secret: &str) -> Option<Vec<u8>> {
        match self {
            Signing::Standard => base64(secret.strip_prefix("whsec_").unwrap_or(secret)),
            _ => Some(secret.as_bytes().to_vec()),
        }
    }
}

impl Claim {
    /// Whether the body was signed with the key. How long that takes says
    /// nothing of either.
    pub fn holds(&self, key: &[u8], body: &[u8]) -> bool {
        let mut signing = hmac::Context::with_key(&hmac::Key::new(self.algorithm, key));
        signing.update(self.before.as_bytes());
        signing.update(body);
        let expected = signing.sign();
        self.signatures.iter().fold(false, |found, given| found | bool::from(expected.as_ref().ct_eq(given)))
    }

    /// What tells this request from all others that a script is sent.
    pub fn digest(&self, script: &str, body: &[u8]) -> [u8; 32] {
        let length = |text: &str| (text.len() as u64).to_be_bytes();
        Sha256::new()
            .chain_update(length(script))
            .chain_update(script)
            .chain_update(length(&self.before))
            .chain_update(&self.before)
            .chain_update(body)
            .finalize()
            .into()
    }
}

/// The text of a header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|engine| engine.decode(text).ok())
}
