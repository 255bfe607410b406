//! What a script may use of one kind of thing, as two parties say it: the
//! script, which declares what it wants, and the operator, who grants it.

use crate::runtime::failure::Failure;

/// Two words on one kind of thing, such as tables. Both must allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed<T> {
    /// What the script declares. None: it declares nothing of any kind, which
    /// leaves the word to the operator.
    pub declared: Option<Vec<T>>,
    pub granted: Granted<T>,
}

/// The operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted<T> {
    /// Silent, and silence is refusal.
    Nothing,
    /// Whatever the script declares; everything, where it declares nothing.
    Everything,
    These(Vec<T>),
}

/// Denied is what nobody speaks of.
impl<T> Default for Allowed<T> {
    fn default() -> Self {
        Allowed { declared: None, granted: Granted::Nothing }
    }
}

/// The lists that need the operator's word whatever the script declares: with
/// them, data can leave the host.
pub const NEVER_BY_DECLARATION: [&str; 2] = ["http", "secrets"];

/// How what was refused would be allowed.
pub struct Wanted<'a> {
    /// What the script wanted, such as `reading the table orders`.
    pub what: String,
    /// The list that lacks it, such as `tables`.
    pub list: &'a str,
    /// As it would stand in the list.
    pub entry: String,
}

impl<T> Allowed<T> {
    /// What the operator lists, and nothing else.
    pub fn these(list: Vec<T>) -> Allowed<T> {
        Allowed { declared: None, granted: Granted::These(list) }
    }

    pub fn everything() -> Allowed<T> {
        Allowed { declared: None, granted: Granted::Everything }
    }

    /// Refuses what no entry of a list `covers`, and says whose list it is.
    pub fn check(&self, covers: impl Fn(&T) -> bool, wanted: impl FnOnce() -> Wanted<'static>) -> Result<(), Failure> {
        let declared = self.declared.as_ref().is_none_or(|list| list.iter().any(&covers));
        let granted = match &self.granted {
            Granted::Nothing => false,
            Granted::Everything => true,
            Granted::These(list) => list.iter().any(&covers),
        };
        if declared && granted {
            return Ok(());
        }
        let Wanted { what, list, entry } = wanted();
        let line = format!("`@airlock {list}: {entry}`");
        let setting = format!("grants.{list} = [\"{entry}\"] on the script in airlock.toml");
        Err(Failure::denied(match (&self.declared, &self.granted) {
            _ if !declared => format!("this script does not declare {what}; {line} in the comment at its top does"),
            // Where a declaration alone is enough.
            (None, Granted::Nothing) if !NEVER_BY_DECLARATION.contains(&list) => format!(
                "this script is not granted {what}; {line} in a comment at its top declares it, or {setting} allows it"
            ),
            _ => format!("this script is not granted {what}; {setting} allows it"),
        }))
    }
}
