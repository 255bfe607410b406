//! Which tenant a transaction is for, in a text that a script cannot make.
//!
//! The host gives it to `airlock.enter` on a connection, for the tenant that it
//! serves (see [`session`](super::session)):
//!
//! ```text
//! v1.<key id>.<expires, seconds of Unix time>.<tenant id, hexadecimal>.<HMAC-SHA256, hexadecimal>
//! ```
//!
//! The HMAC is over all before it and the process id of the connection's
//! backend, so a token is good on one connection only. [`ENTER`] checks it in
//! the database, with what [`Key`] holds: the two padded keys of HMAC, so that
//! the built-in `sha256` is enough.
//!
//! That takes longer than a look-up by key, so policies do not ask for it in
//! every statement. What a good token says is kept in the setting
//! `airlock.tenant`, as `<expires, ten digits><tenant id>`, and the first eight
//! bytes of its SHA-256 as the session's value of the sequence
//! `airlock.verified`. Anyone may write the setting. The value nobody writes but
//! the owner of the sequence, as whom [`ENTER`] runs, and no session another's.
//! [`TENANT`], which policies ask, takes the setting only where the two agree.

use std::fmt;

use sha2::{Digest, Sha256};

use super::routine::Function;
use crate::hexadecimal;

/// The shortest key, in bytes: as long as what it signs with.
pub const KEY_BYTES: usize = 32;
/// SHA-256 takes its input in blocks of so many bytes.
const BLOCK: usize = 64;

/// Keys that tokens are signed and checked with. The first signs, all are
/// accepted, so a key can be replaced while hosts run.
#[derive(Clone, Default)]
pub struct Keys(Vec<Key>);

/// One key, as HMAC needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: String,
    inner: [u8; BLOCK],
    outer: [u8; BLOCK],
}

impl Key {
    /// `None` where the id or the key is not one: an id is 1 to 32 letters,
    /// digits, `-` and `_`, and a key at least [`KEY_BYTES`] long.
    pub fn new(id: &str, secret: &[u8]) -> Option<Key> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=32).contains(&id.len()) || !id.bytes().all(plain) || secret.len() < KEY_BYTES {
            return None;
        }
        // RFC 2104: a longer key is hashed, a shorter one padded with zeros.
        let mut block = [0; BLOCK];
        if secret.len() > BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(secret));
        } else {
            block[..secret.len()].copy_from_slice(secret);
        }
        Some(Key { id: id.to_owned(), inner: block.map(|byte| byte ^ 0x36), outer: block.map(|byte| byte ^ 0x5c) })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The padded keys, inner and outer, as the database stores them.
    pub(super) fn padded(&self) -> (&[u8], &[u8]) {
        (&self.inner, &self.outer)
    }

    fn mac(&self, message: &[u8]) -> String {
        let inner = Sha256::new().chain_update(self.inner).chain_update(message).finalize();
        hexadecimal::encode(&Sha256::new().chain_update(self.outer).chain_update(inner).finalize())
    }
}

impl Keys {
    /// The first signs.
    pub fn new(keys: Vec<Key>) -> Keys {
        Keys(keys)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// The token for transactions of a tenant on the backend with that process
    /// id, good until `expires`, in seconds of Unix time. `None` without keys.
    pub fn sign(&self, tenant: &str, pid: i32, expires: u64) -> Option<String> {
        let key = self.0.first()?;
        let head = format!("v1.{}.{expires}.{}.", key.id, hexadecimal::encode(tenant.as_bytes()));
        let mac = key.mac(format!("{head}{pid}").as_bytes());
        Some(head + &mac)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter()).finish()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({}, …)", self.id)
    }
}

/// Takes a token, or fails and leaves the session what it was.
pub(super) const ENTER: Function = Function {
    signature: "airlock.enter(text)",
    create: "airlock.enter(token text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp",
    body: "
DECLARE
  expires text := split_part(token, '.', 3);
  inner_padded bytea;
  outer_padded bytea;
  claim text;
BEGIN
  SELECT k.inner_padded, k.outer_padded INTO inner_padded, outer_padded
    FROM airlock.token_keys k WHERE k.id = split_part(token, '.', 2);
  IF coalesce(right(token, 64) = encode(sha256(outer_padded || sha256(inner_padded
        || convert_to(left(token, -64) || pg_backend_pid(), 'UTF8'))), 'hex'), false)
     AND length(expires) = 10 AND to_timestamp(expires::float8) > clock_timestamp() THEN
    claim := expires || convert_from(decode(split_part(token, '.', 4), 'hex'), 'UTF8');
    PERFORM set_config('airlock.tenant', claim, false),
            setval('airlock.verified', ('x' || encode(substr(sha256(convert_to(claim, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint);
    RETURN;
  END IF;
  RAISE insufficient_privilege USING MESSAGE = 'this is no valid tenant token';
END
",
    returns: "void",
    volatility: "v",
    parallel: "u",
    settings: &["search_path=pg_catalog, pg_temp"],
};

/// Whose rows a statement sees: the tenant's id, or an error where there is none
/// or its time is over.
///
/// It runs in every statement, so it is short: each expression costs a
/// microsecond in every transaction, and a search path of its own would cost
/// more than all the rest. In its place, every name is spelt out. Workers of a
/// parallel query have sessions of their own, so it runs in the backend itself.
pub(super) const TENANT: Function = Function {
    signature: "airlock.tenant()",
    create: "airlock.tenant() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED",
    body: "
BEGIN
  IF pg_catalog.int8send(pg_catalog.currval('airlock.verified'::pg_catalog.regclass)) OPERATOR(pg_catalog.=)
        pg_catalog.substr(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.current_setting('airlock.tenant'), 'UTF8')), 1, 8)
     AND pg_catalog.to_timestamp(pg_catalog.left(pg_catalog.current_setting('airlock.tenant'), 10)::pg_catalog.float8)
        OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() THEN
    RETURN pg_catalog.substr(pg_catalog.current_setting('airlock.tenant'), 11);
  END IF;
  RAISE insufficient_privilege USING MESSAGE = 'this session has no valid tenant token';
END
",
    returns: "text",
    volatility: "s",
    parallel: "r",
    settings: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_hmac_sha256() {
        // Test case 6 of RFC 4231, whose key is longer than a block, and what
        // `printf x | openssl dgst -sha256 -hmac …` answers for shorter ones.
        let long = Key::new("k", &[0xaa; 131]).unwrap();
        assert_eq!(
            long.mac(b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
        let block = Key::new("k", &[b'a'; 64]).unwrap();
        assert_eq!(block.mac(b"x"), "b65ca3a3235f948bc0e6bd747532c54a983b54ddad1a4d1bd8b958e065b1cab4");
        let short = Key::new("k", &[b'a'; 32]).unwrap();
        assert_eq!(short.mac(b"x"), "50fcb5c9e3608d6f8c570651b0e8f1b55f2aeb3d16b037a796f809a04b5499d9");
    }

    #[test]
    fn ids_and_keys_that_are_none_are_refused() {
        for id in ["", "a.b", "ä", "a b", &"a".repeat(33)] {
            assert!(Key::new(id, &[1; 32]).is_none(), "{id}");
        }
        assert!(Key::new("2026-11", &[1; 31]).is_none());
        assert!(Key::new("2026-11", &[1; 32]).is_some());
    }

    #[test]
    fn the_first_key_signs() {
        let keys = Keys::new(vec![Key::new("new", &[1; 32]).unwrap(), Key::new("old", &[2; 32]).unwrap()]);
        let token = keys.sign("acme", 42, 1_700_000_000).unwrap();
        assert!(token.starts_with("v1.new.1700000000.61636d65."), "{token}");
        assert_eq!(token.rsplit('.').next().unwrap().len(), 64);
        assert_ne!(token, keys.sign("acme", 43, 1_700_000_000).unwrap());
        assert_eq!(Keys::default().sign("acme", 42, 0), None);
    }

    #[test]
    fn keys_do_not_show() {
        let keys = Keys::new(vec![Key::new("k1", &[0x41; 32]).unwrap()]);
        assert_eq!(format!("{keys:?}"), "[Key(k1, …)]");
    }
}
