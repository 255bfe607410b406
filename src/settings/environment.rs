//! The environment variables, by the reference's names. They win over the file.
//! One that is empty counts as not set.

use std::time::Duration;

use zeroize::Zeroizing;

use super::keys::Maker;
use super::{Settings, SettingsError};
use crate::capabilities::secrets::{KEY_BYTES, Key, Keys};
use crate::runtime::limits::{Limit, Limits};

/// The general ones, each with the setting that it is for.
pub(super) const VARIABLES: [(&str, &str); 12] = [
    ("SCRIPTS_ENABLED", "scripts_enabled"),
    ("SCRIPT_TIMEOUT_SECONDS", "limits.timeout"),
    ("SCRIPT_MAX_MEMORY_MB", "limits.memory"),
    ("SCRIPT_VM_POOL_SIZE", "sandboxes.count"),
    ("SCRIPT_VM_TIMEOUT_SECONDS", "sandboxes.wait"),
    ("AIRLOCK_STORE_URL", "store.url"),
    ("AIRLOCK_DATABASE_URL", "database.url"),
    ("AIRLOCK_DATABASE_ADMIN_URL", "database.admin_url"),
    ("AIRLOCK_DATABASE_TOKEN_KEYS", "database.token_keys"),
    ("AIRLOCK_SECRETS_KEYS", "secrets.keys"),
    ("AIRLOCK_NATS_URL", "events.nats.url"),
    ("AIRLOCK_NATS_CREDENTIALS", "events.nats.credentials"),
];

/// Applies the variables that belong to no script.
pub(super) fn apply(settings: &mut Settings, variable: &impl Fn(&str) -> Option<String>) -> Result<(), SettingsError> {
    limits(&mut settings.limits, variable)?;
    if let Some(text) = set("SCRIPTS_ENABLED", variable) {
        settings.scripts_enabled = match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => return Err(wrong("SCRIPTS_ENABLED", &text, "`true` or `false`")),
        };
    }
    if let Some(count) = number("SCRIPT_VM_POOL_SIZE", "sandboxes", super::file::MAX_SANDBOXES, variable)? {
        settings.sandboxes.count = count as u32;
    }
    if let Some(seconds) = number("SCRIPT_VM_TIMEOUT_SECONDS", "seconds", super::file::DAY / 1000, variable)? {
        settings.sandboxes.wait = Duration::from_secs(seconds);
    }
    if let Some(text) = set("AIRLOCK_SECRETS_KEYS", variable) {
        settings.secrets = Keys(SECRETS.of_environment("AIRLOCK_SECRETS_KEYS", &text)?.into());
    }
    Ok(())
}

/// The keys of `[secrets]`.
pub(super) const SECRETS: Maker<Key> = Maker {
    make: |id, bytes| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=64).contains(&id.len()) || !id.bytes().all(plain) {
            return Err("the key's id is not one".to_owned());
        }
        let known = <[u8; KEY_BYTES]>::try_from(bytes);
        let bytes = known.map_err(|_| format!("the key has {} bytes, and needs {KEY_BYTES}", bytes.len()))?;
        Ok(Key { id: id.to_owned(), bytes: Zeroizing::new(bytes) })
    },
    help: "an id is 1 to 64 letters, digits, `-`, `_` and `.`, and a key 32 random bytes, hexadecimal or base64, as \
           `openssl rand -hex 32` prints",
};

/// Applies the variables that are limits. A script's own limits go over them.
pub(super) fn limits(limits: &mut Limits, variable: &impl Fn(&str) -> Option<String>) -> Result<(), SettingsError> {
    if let Some(seconds) = number("SCRIPT_TIMEOUT_SECONDS", "seconds", super::file::DAY / 1000, variable)? {
        limits.set(Limit::Timeout, seconds * 1000);
    }
    if let Some(mebibytes) = number("SCRIPT_MAX_MEMORY_MB", "mebibytes", super::file::MAX_MEMORY >> 20, variable)? {
        limits.set(Limit::Memory, mebibytes << 20);
    }
    Ok(())
}

pub(super) fn set(name: &str, variable: &impl Fn(&str) -> Option<String>) -> Option<String> {
    variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number(
    name: &str,
    unit: &str,
    most: u64,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Option<u64>, SettingsError> {
    let Some(text) = set(name, variable) else { return Ok(None) };
    match text.parse::<u64>() {
        Ok(value) if (1..=most).contains(&value) => Ok(Some(value)),
        _ => Err(wrong(name, &text, &format!("a whole number of {unit} from 1 to {most}"))),
    }
}

fn wrong(name: &str, text: &str, expected: &str) -> SettingsError {
    SettingsError::plain(format!("the environment variable {name} is `{text}`; it takes {expected}"))
}
