//! For whom a call runs. Comes in with the call, never from the script.

mod people;
pub mod permission;
pub mod quota;
pub mod token;

pub use people::People;
pub use permission::Permissions;

/// Set at once for a call and shared by everything that it starts.
#[derive(Debug, Clone)]
pub struct Identity {
    pub tenant: Tenant,
    /// The user or service account that the call runs as, with the permissions
    /// of when it began. None: it runs for nobody and has no permissions.
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
    pub permissions: Permissions,
}

/// Where the permissions of a caller come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// From the host's list, at the time they are used.
    #[default]
    Listed,
    /// From there too, and never more than these.
    Scoped(Permissions),
    /// From the credentials, which say them all.
    Claimed,
}

impl Authority {
    /// The user as of now. None: there is none any more.
    pub fn user(&self, people: &People, tenant: &str, user: &User) -> Option<User> {
        match self {
            Authority::Listed => people.user(tenant, &user.id),
            Authority::Scoped(scopes) => {
                let user = people.user(tenant, &user.id)?;
                Some(User { permissions: user.permissions.bounded_by(scopes), ..user })
            }
            Authority::Claimed => Some(user.clone()),
        }
    }
}

impl User {
    /// As messages name the user.
    pub fn shown(&self) -> String {
        match [&self.name, &self.email].into_iter().find(|text| !text.is_empty()) {
            Some(name) => format!("{name} ({})", self.id),
            None => self.id.clone(),
        }
    }
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

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Execution {
    pub id: String,
    /// `cron`, `manual`, `api`, `event` or `oneoff`.
    pub triggered_by: String,
    /// What it handles, where that is an event.
    pub cause: Option<Cause>,
}

/// The event that an execution handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The event's id.
    pub event: String,
    /// How many events led to the execution, that one included.
    pub depth: i64,
}
