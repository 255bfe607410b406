//! How secrets are kept: XChaCha20-Poly1305 under a key of the operator's.
//!
//! What is authenticated along holds whose secret it is and what it is called,
//! so that a row that is copied to another tenant or name can't be read.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// A key has this many bytes.
pub const KEY_BYTES: usize = 32;
/// Random, and long enough to stay so for any number of values.
const NONCE_BYTES: usize = 24;
const DOMAIN: &[u8] = b"airlock secret v1";

/// A key and the name that is stored with what it encrypts.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Key").field("id", &self.id).field("bytes", &"…").finish()
    }
}

/// The operator's keys: the first encrypts, all decrypt.
#[derive(Debug, Clone, Default)]
pub struct Keys(pub Arc<[Key]>);

/// A secret as it is stored.
#[derive(Clone, sqlx::FromRow)]
pub struct Sealed {
    /// The id of the key.
    pub key_id: String,
    pub nonce: Vec<u8>,
    pub value: Vec<u8>,
}

impl Sealed {
    /// Bytes of a nonce.
    pub const NONCE: usize = NONCE_BYTES;
}

/// Why a stored secret can't be read. For the operator.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("it was encrypted with the key `{0}`, which [secrets] keys does not have")]
    NoKey(String),
    #[error("the key `{0}` does not open it: another key has that id now, or the row was changed")]
    WrongKey(String),
}

impl Keys {
    /// The key that encrypts.
    pub fn first(&self) -> Option<&Key> {
        self.0.first()
    }

    /// Encrypts with the first key. None where there is no key, or the system
    /// has no random numbers.
    pub fn seal(&self, tenant: &str, name: &str, value: &str) -> Option<Sealed> {
        let key = self.first()?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let payload = Payload { msg: value.as_bytes(), aad: &context(tenant, name) };
        let value = cipher(key).encrypt(&XNonce::from(nonce), payload).ok()?;
        Some(Sealed { key_id: key.id.clone(), nonce: nonce.to_vec(), value })
    }

    pub fn open(&self, tenant: &str, name: &str, sealed: &Sealed) -> Result<Zeroizing<String>, Unreadable> {
        let key = self.0.iter().find(|key| key.id == sealed.key_id);
        let key = key.ok_or_else(|| Unreadable::NoKey(sealed.key_id.clone()))?;
        let open = || {
            let nonce = <[u8; NONCE_BYTES]>::try_from(&*sealed.nonce).ok()?;
            let payload = Payload { msg: &sealed.value, aad: &context(tenant, name) };
            let bytes = cipher(key).decrypt(&XNonce::from(nonce), payload).ok()?;
            String::from_utf8(bytes).ok().map(Zeroizing::new)
        };
        open().ok_or_else(|| Unreadable::WrongKey(sealed.key_id.clone()))
    }
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&*key.bytes).into())
}

/// The tenant's length stands before it: no two pairs read alike.
fn context(tenant: &str, name: &str) -> Vec<u8> {
    let length = (tenant.len() as u64).to_be_bytes();
    [DOMAIN, &length, tenant.as_bytes(), name.as_bytes()].concat()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn keys(ids: &[(&str, u8)]) -> Keys {
        let key = |&(id, byte): &(&str, u8)| Key { id: id.to_owned(), bytes: Zeroizing::new([byte; KEY_BYTES]) };
        Keys(ids.iter().map(key).collect())
    }

    #[test]
    fn a_secret_opens_with_its_key_for_its_tenant_and_name_alone() {
        let both = keys(&[("new", 1), ("old", 2)]);
        let old = keys(&[("old", 2)]);
        let sealed = old.seal("acme", "KEY", "sesame").unwrap();
        assert_eq!(both.open("acme", "KEY", &sealed).unwrap().as_str(), "sesame");
        assert_eq!(both.seal("acme", "KEY", "sesame").unwrap().key_id, "new");

        let no_key = Err(Unreadable::NoKey("old".into()));
        assert_eq!(keys(&[("new", 2)]).open("acme", "KEY", &sealed), no_key);
        assert_eq!(Keys::default().open("acme", "KEY", &sealed), no_key);
        let wrong = || Err(Unreadable::WrongKey("old".into()));
        assert_eq!(keys(&[("old", 3)]).open("acme", "KEY", &sealed), wrong());
        for (tenant, name) in [("globex", "KEY"), ("acme", "OTHER"), ("acm", "eKEY"), ("acmeK", "EY")] {
            assert_eq!(old.open(tenant, name, &sealed), wrong(), "{tenant} {name}");
        }
        for damage in 0..3 {
            let mut sealed = sealed.clone();
            match damage {
                0 => sealed.value[0] ^= 1,
                1 => sealed.nonce[0] ^= 1,
                _ => sealed.nonce.truncate(3),
            }
            assert_eq!(old.open("acme", "KEY", &sealed), wrong());
        }
    }

    #[test]
    fn the_same_secret_never_looks_the_same() {
        let keys = keys(&[("a", 1)]);
        let [one, other] = [(); 2].map(|()| keys.seal("acme", "KEY", "sesame").unwrap());
        assert!(one.value != other.value && one.nonce != other.nonce);
        assert!(Keys::default().seal("acme", "KEY", "sesame").is_none());
        assert!(!format!("{keys:?}").contains("1, 1"));
    }
}
