//! That a request is this host's, and for whom it was made.
//!
//! `airlock-signature: v1=<hex>` is the HMAC-SHA256, under a key that the host
//! and the backend share, of these lines, each but the last ended by `\n`:
//!
//! ```text
//! v1
//! <method>
//! <path and query>
//! <airlock-timestamp>
//! <airlock-tenant>
//! <airlock-user>
//! <airlock-permissions>
//! <airlock-script>
//! <airlock-execution>
//! <idempotency-key>
//! <SHA-256 of the body, in hex>
//! ```
//!
//! A header that is not there is an empty line. Values are signed as they are
//! sent: percent-encoded, so that none of them can hold a line break.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::hexadecimal;
use crate::tenant::Identity;

/// A shorter key could be guessed.
const KEY_BYTES: usize = 32;

/// What a header cannot carry, what would end a permission of the list, and the
/// escape itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b'%');

/// The key that a host and a backend share. Its text is the key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Arc<str>);

impl SigningKey {
    pub fn new(text: &str) -> Result<SigningKey, String> {
        if text.len() < KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "a signing key is at least {KEY_BYTES} characters, without spaces; `openssl rand -hex 32` prints one"
            ));
        }
        Ok(SigningKey(text.into()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(…)")
    }
}

/// What is sent, as far as it is signed.
pub struct Signed<'a> {
    pub method: &'a str,
    /// With the query.
    pub path: &'a str,
    /// Seconds since the Unix epoch.
    pub timestamp: i64,
    pub identity: &'a Identity,
    pub idempotency_key: Option<&'a str>,
    pub body: &'a [u8],
}

impl Signed<'_> {
    /// The headers that say who calls, and prove it.
    pub fn headers(&self, key: &SigningKey) -> Vec<(&'static str, String)> {
        let encode = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let identity = self.identity;
        let user = identity.user.as_ref();
        let permissions = user.map_or_else(Vec::new, |user| user.permissions.iter().map(encode).collect());
        let said = [
            ("airlock-timestamp", self.timestamp.to_string()),
            ("airlock-tenant", encode(&identity.tenant.id)),
            ("airlock-user", user.map_or_else(String::new, |user| encode(&user.id))),
            ("airlock-permissions", permissions.join(",")),
            ("airlock-script", encode(&identity.script.id)),
            ("airlock-execution", encode(&identity.execution.id)),
            ("idempotency-key", self.idempotency_key.unwrap_or_default().to_owned()),
        ];
        let mut text = format!("v1\n{}\n{}\n", self.method, self.path);
        for (_, value) in &said {
            text += value;
            text.push('\n');
        }
        text += &hexadecimal::encode(&Sha256::digest(self.body));
        // A key of any length does.
        let signature = Hmac::<Sha256>::new_from_slice(key.0.as_bytes())
            .map(|mac| mac.chain_update(text.as_bytes()).finalize().into_bytes());
        let signature = signature.map(|bytes| format!("v1={}", hexadecimal::encode(&bytes))).unwrap_or_default();
        let said = said.into_iter().filter(|(_, value)| !value.is_empty());
        said.chain([("airlock-signature", signature)]).collect()
    }
}
