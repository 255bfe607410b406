//! For whom a call runs. Comes in with the call, never from the script.

pub mod quota;

/// Set at once for a call and shared by everything that it starts.
#[derive(Debug, Clone)]
pub struct Identity {
    pub tenant: Tenant,
    /// None where no user started the call, as in a scheduled one.
    pub user: Option<User>,
    pub script: Script,
    pub execution: Execution,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with id and name")]
pub struct Tenant {
    pub id: String,
    #[serde(default)]
    pub name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "an object with id, email, name and permissions")]
pub struct User {
    pub id: String,
    pub email: String,
    pub name: String,
    /// Such as `clients.view` or `reports.*`.
    pub permissions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub id: String,
    pub name: String,
    /// `cron`, `oneoff`, `http`, `event` or `embedded`.
    pub kind: String,
    /// The file that log lines and stacks name.
    pub file: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub id: String,
    /// `cron`, `manual`, `api` or `event`.
    pub triggered_by: String,
}
