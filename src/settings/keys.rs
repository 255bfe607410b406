//! Keys, as the file and the environment write them. No message quotes one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use super::SettingsError;
use super::error::Fault;
use crate::hexadecimal;

/// A key in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTable {
    id: Spanned<String>,
    key: Spanned<String>,
}

/// What makes a key of its id and its bytes.
pub(super) struct Maker<K> {
    pub make: fn(&str, &[u8]) -> Result<K, String>,
    /// How ids and keys are written.
    pub help: &'static str,
}

impl<K> Maker<K> {
    pub fn of_file(&self, tables: &[KeyTable]) -> Result<Vec<K>, Fault> {
        let mut ids = Vec::new();
        let keys = tables.iter().map(|table| {
            // Points at the id, not at the key: the place is printed.
            let fault = |message| Fault::new(table.id.span(), message).help(self.help);
            self.key(table.id.as_ref(), table.key.as_ref(), &mut ids).map_err(fault)
        });
        keys.collect()
    }

    /// `id:key`, several with commas between.
    pub fn of_environment(&self, name: &str, text: &str) -> Result<Vec<K>, SettingsError> {
        let mut ids = Vec::new();
        let keys = text.split(',').enumerate().map(|(at, pair)| {
            let pair = pair.trim().split_once(':').ok_or_else(|| "there is no `:` after its id".to_owned());
            pair.and_then(|(id, key)| self.key(id, key, &mut ids)).map_err(|reason| SettingsError {
                help: Some(format!("write it as `id:key,id:key`; {}", self.help)),
                ..SettingsError::plain(format!("the environment variable {name}, key {}: {reason}", at + 1))
            })
        });
        keys.collect()
    }

    fn key(&self, id: &str, text: &str, ids: &mut Vec<String>) -> Result<K, String> {
        let text = text.trim();
        // What is hexadecimal throughout is taken as that.
        let bytes = hexadecimal::decode(text).or_else(|| STANDARD.decode(text).ok());
        let bytes = Zeroizing::new(bytes.ok_or("the key is neither hexadecimal nor base64")?);
        let key = (self.make)(id, &bytes)?;
        if ids.iter().any(|known| known == id) {
            return Err(format!("there is a key `{id}` already"));
        }
        ids.push(id.to_owned());
        Ok(key)
    }
}
