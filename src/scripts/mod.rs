//! The scripts that there are: those of the settings, which are the operator's,
//! and those that tenants keep in the host's database.

pub mod draft;
mod library;
mod programs;
mod rows;
pub mod shelf;

use std::sync::Arc;

pub use draft::Draft;
pub use library::{Library, Source, reach};

use crate::capabilities::grant::Lists;
use crate::compile::CompileError;
use crate::compile::artifact;
use crate::runtime::limits::Limits;
use crate::server::route::Route;
use crate::server::webhook;
use crate::settings::{ScriptKind, ScriptSettings};
use crate::store::clock::Millis;
use crate::tenant::quota::Exceeded;
use crate::triggers::events::Subscription;
use crate::triggers::schedules::Cron;

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
    /// What it handles, where it is an event script.
    pub event: Option<Subscription>,
    /// When it runs by itself. None: never.
    pub cron: Option<Cron>,
    pub grants: Lists,
    /// What it may use, as both words say. None: its program is to be asked.
    pub grant: Option<Arc<crate::capabilities::Grant>>,
    /// The service account that it runs as where no user calls.
    pub run_as: Option<String>,
    pub limits: Limits,
    /// What a user needs to call it over HTTP.
    pub permission: Option<String>,
    /// Whether a call over HTTP needs no user.
    pub public: bool,
    /// The signature that a call over HTTP needs instead of a user.
    pub webhook: Option<Arc<webhook::Rule>>,
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
            event: settings.event.clone(),
            cron: settings.cron.clone(),
            grants: settings.grants.clone(),
            grant: None,
            run_as: settings.run_as.clone(),
            limits: settings.limits.clone(),
            permission: settings.permission.clone(),
            public: settings.public,
            webhook: settings.webhook.clone(),
        }
    }
}

/// A script in the host's database.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// A UUID.
    pub id: String,
    pub draft: Draft,
    pub enabled: bool,
    /// The number of the version that calls run. None: none was deployed.
    pub deployed: Option<i64>,
    /// The number of the last version; 0 where there is none.
    pub latest: i64,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// A version of a script, without its source. Never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// From 1 in each script.
    pub number: i64,
    /// The name that stacks show.
    pub file: String,
    /// SHA-256 of the source, in hexadecimal.
    pub hash: String,
    /// What it was first compiled with.
    pub engine: String,
    /// What can be called.
    pub entries: Vec<String>,
    /// What it declares that it uses.
    pub declared: Option<Lists>,
    /// The id of the user who saved it.
    pub author: String,
    pub message: String,
    /// Of the source and its map.
    pub bytes: i64,
    pub created_at: Millis,
}

impl Version {
    /// Whether there is a function that runs without being named.
    fn default_entry(&self) -> bool {
        artifact::default_entry(&self.entries).is_some()
    }
}

/// Whether somebody agrees that a script may reach more than it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// They were not asked yet.
    Open { may_grant: bool },
    /// They agree, and may.
    Given,
    /// They agree, and may not.
    Void,
}

impl Consent {
    /// `agrees` as the request says, `may_grant` as the permissions do.
    pub fn new(agrees: bool, may_grant: bool) -> Consent {
        match (agrees, may_grant) {
            (true, true) => Consent::Given,
            (true, false) => Consent::Void,
            (false, may_grant) => Consent::Open { may_grant },
        }
    }

    fn may_grant(self) -> bool {
        matches!(self, Consent::Given | Consent::Open { may_grant: true })
    }

    /// Refuses where there is more to reach, and no consent to it.
    fn to(self, more: Lists) -> Result<(), Refused> {
        match self {
            _ if more.is_empty() => Ok(()),
            Consent::Given => Ok(()),
            Consent::Void => Err(Refused::MayNotGrant),
            Consent::Open { .. } => Err(Refused::Unconfirmed(more)),
        }
    }
}

/// Why something was not done with a script.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("there is no such script")]
    NotFound,
    #[error("the script has no such version")]
    NoVersion,
    #[error("{field}: {message}")]
    Invalid {
        /// The place in what was sent.
        field: String,
        message: String,
    },
    #[error("another script of the tenant is being compiled")]
    Compiling,
    #[error("there is a script `{0}` already")]
    NameTaken(String),
    #[error("another script answers to {0} already")]
    RouteTaken(String),
    #[error("somebody else has changed the script meanwhile")]
    ChangedMeanwhile,
    /// What the script would reach beyond what it does.
    #[error("the script would reach more than it does")]
    Unconfirmed(Lists),
    #[error("this lets a script reach more, which the caller may not grant")]
    MayNotGrant,
    #[error("there is no function to call")]
    NoEntry {
        entry: Option<String>,
        /// What there is.
        entries: Vec<String>,
    },
    #[error(transparent)]
    Quota(#[from] Exceeded),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}
