//! What is known of a job.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::clock::Millis;
use crate::tenant::{Authority, Permissions, User};

/// What asks for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    Event,
    Cron,
    /// To be done once, at a time.
    OneOff,
    /// To be done once, now.
    Api,
}

impl Trigger {
    const ALL: [Trigger; 4] = [Trigger::Event, Trigger::Cron, Trigger::OneOff, Trigger::Api];

    /// As scripts see it in `triggeredBy`, and as the record has it.
    pub fn name(self) -> &'static str {
        match self {
            Trigger::Event => "event",
            Trigger::Cron => "cron",
            Trigger::OneOff => "oneoff",
            Trigger::Api => "api",
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl TryFrom<String> for Trigger {
    type Error = String;

    fn try_from(text: String) -> Result<Trigger, String> {
        text.parse()
    }
}

impl FromStr for Trigger {
    type Err = String;

    fn from_str(text: &str) -> Result<Trigger, String> {
        Trigger::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| format!("`{text}` triggers nothing"))
    }
}

/// Where a job is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is for the next host that has room.
    Waiting,
    /// Its time has not come.
    Delayed,
    /// An earlier one with its order key is not done.
    Blocked,
    Running,
    /// It has used up its attempts, or its script wants no further one.
    Dead,
}

impl State {
    const ALL: [State; 5] = [State::Waiting, State::Delayed, State::Blocked, State::Running, State::Dead];

    pub fn name(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Delayed => "delayed",
            State::Blocked => "blocked",
            State::Running => "running",
            State::Dead => "dead",
        }
    }

    /// Of a job that nothing blocks.
    pub fn at(run_at: Millis, now: Millis) -> State {
        if run_at > now { State::Delayed } else { State::Waiting }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl TryFrom<String> for State {
    type Error = String;

    fn try_from(text: String) -> Result<State, String> {
        text.parse()
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<State, String> {
        State::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| format!("`{text}` is no state of a job"))
    }
}

/// Who had a job queued, and runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub user: User,
    /// Where the permissions come from when it runs.
    pub authority: Authority,
}

impl Caller {
    /// With the permissions only where nobody else says them.
    pub fn new(user: &User, authority: &Authority) -> Caller {
        let mut user = user.clone();
        if *authority != Authority::Claimed {
            user.permissions = Permissions::default();
        }
        Caller { user, authority: authority.clone() }
    }
}

/// A job to be. [`NewJob::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// A version 7 UUID; None: a new one. Where there is such a job, it stays as
    /// it is.
    pub id: Option<String>,
    /// The script's id.
    pub script: String,
    pub trigger: Trigger,
    /// The function to call, where it is not the script's own.
    pub entry: Option<String>,
    /// None: the version that is deployed by then.
    pub version: Option<i64>,
    /// The argument as JSON text. None: the event that caused it.
    pub input: Option<String>,
    /// The id of the event that caused it.
    pub cause: Option<String>,
    /// How many events led to it, that one included.
    pub depth: i64,
    /// None: the script's service account.
    pub caller: Option<Caller>,
    /// The higher, the earlier. 0 is usual.
    pub priority: i64,
    /// Not before; None: at once.
    pub run_at: Option<Millis>,
    /// Jobs of a script with the same key run one after the other, in the order
    /// in which they were inserted.
    pub order_key: Option<String>,
    /// Of several jobs of a tenant with the same key, the first is kept, and the
    /// others are not inserted until it is done or discarded.
    pub dedup_key: Option<String>,
    /// At most.
    pub attempts: i64,
}

impl NewJob {
    /// A call of a script's own function, now, with no argument, as its service
    /// account, tried once.
    pub fn new(script: impl Into<String>, trigger: Trigger) -> NewJob {
        NewJob {
            id: None,
            script: script.into(),
            trigger,
            entry: None,
            version: None,
            input: Some("null".to_owned()),
            cause: None,
            depth: 0,
            caller: None,
            priority: 0,
            run_at: None,
            order_key: None,
            dedup_key: None,
            attempts: 1,
        }
    }

    /// What it takes up, or so.
    pub(super) fn bytes(&self) -> i64 {
        /// Beside its texts.
        const OVERHEAD: usize = 300;
        let texts = [&self.input, &self.order_key, &self.dedup_key, &self.entry, &self.cause];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        (OVERHEAD + texts) as i64
    }
}
