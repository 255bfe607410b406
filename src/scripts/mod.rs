//! The scripts that there are: those of the settings, which are the operator's,
//! and those that tenants keep in the host's database.

pub mod shelf;

use crate::capabilities::grant;
use crate::runtime::limits::Limits;
use crate::server::route::Route;
use crate::settings::{ScriptKind, ScriptSettings};

/// A script as calls need it.
#[derive(Debug, Clone)]
pub struct Script {
    /// The name, for one of the settings.
    pub id: String,
    /// Unique in a tenant.
    pub name: String,
    /// What logs and stacks show.
    pub file: String,
    pub kind: ScriptKind,
    /// Whether it may be called.
    pub enabled: bool,
    /// The version that is deployed. None: it is one of the settings.
    pub version: Option<i64>,
    /// The function to call; None leaves it to the script's exports.
    pub entry: Option<String>,
    /// Some for HTTP scripts, None for all others.
    pub route: Option<Route>,
    pub grants: grant::Lists,
    /// The service account that it runs as where no user calls.
    pub run_as: Option<String>,
    pub limits: Limits,
    /// What a user needs to call it over HTTP.
    pub permission: Option<String>,
    /// Whether a call over HTTP needs no user.
    pub public: bool,
}

impl From<&ScriptSettings> for Script {
    fn from(settings: &ScriptSettings) -> Script {
        Script {
            id: settings.name.clone(),
            name: settings.name.clone(),
            file: settings.shown_file.clone(),
            kind: settings.kind,
            enabled: true,
            version: None,
            entry: settings.entry.clone(),
            route: settings.route.clone(),
            grants: settings.grants.clone(),
            run_as: settings.run_as.clone(),
            limits: settings.limits.clone(),
            permission: settings.permission.clone(),
            public: settings.public,
        }
    }
}
