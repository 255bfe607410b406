//! `[auth.jwt]`: whose signed tokens are believed.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::error::Fault;
use super::file::words;

/// An identity provider, and what its tokens call things.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    pub jwks: Jwks,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be, or hold.
    pub audience: String,
    /// The claim that has the user's id.
    pub user_claim: String,
    /// The claim that has the tenant's id.
    pub tenant_claim: String,
    /// The claim that has the permissions: a list, or text with spaces between.
    pub permissions_claim: String,
}

/// Where the keys are.
#[derive(Debug, Clone)]
pub enum Jwks {
    File(PathBuf),
    Url(Url),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuthTable {
    jwt: Option<Spanned<JwtTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtTable {
    jwks_file: Option<Spanned<PathBuf>>,
    jwks_url: Option<Spanned<String>>,
    issuer: Spanned<String>,
    audience: Spanned<String>,
    user_claim: Option<Spanned<String>>,
    tenant_claim: Option<Spanned<String>>,
    permissions_claim: Option<Spanned<String>>,
}

/// Reads the table. Relative paths count from `folder`; a file that must exist
/// is added to `files`.
pub(super) fn read(
    table: &AuthTable,
    folder: &Path,
    files: &mut Vec<Spanned<PathBuf>>,
) -> Result<Option<JwtSettings>, Fault> {
    let Some(spanned) = &table.jwt else { return Ok(None) };
    let table = spanned.as_ref();
    let jwks = match (&table.jwks_file, &table.jwks_url) {
        (Some(file), None) => {
            let path = folder.join(file.as_ref());
            files.push(Spanned::new(file.span(), path.clone()));
            Jwks::File(path)
        }
        (None, Some(text)) => Jwks::Url(url(text)?),
        _ => {
            return Err(Fault::new(spanned.span(), "this needs one of `jwks_file` and `jwks_url`")
                .help("an identity provider publishes its keys at a URL, often `/.well-known/jwks.json`"));
        }
    };
    let claim = |setting: &Option<Spanned<String>>, otherwise: &str| match setting {
        Some(name) => words(name, "a claim's name"),
        None => Ok(otherwise.to_owned()),
    };
    Ok(Some(JwtSettings {
        jwks,
        issuer: words(&table.issuer, "an issuer")?,
        audience: words(&table.audience, "an audience")?,
        user_claim: claim(&table.user_claim, "sub")?,
        tenant_claim: claim(&table.tenant_claim, "tenant")?,
        permissions_claim: claim(&table.permissions_claim, "permissions")?,
    }))
}

/// What comes over a network in the clear can be another's keys.
fn url(text: &Spanned<String>) -> Result<Url, Fault> {
    let parsed = Url::parse(text.as_ref()).ok().filter(Url::has_host);
    let is_local = |url: &Url| {
        url.scheme() == "http"
            && match url.host() {
                Some(url::Host::Ipv4(address)) => address.is_loopback(),
                Some(url::Host::Ipv6(address)) => address.is_loopback(),
                Some(url::Host::Domain(name)) => name == "localhost",
                None => false,
            }
    };
    parsed.filter(|url| url.scheme() == "https" || is_local(url)).ok_or_else(|| {
        Fault::new(text.span(), "this is not the URL of a key set")
            .help("write it as `https://id.example.com/.well-known/jwks.json`; `http` is for this machine alone")
    })
}
