//! Permissions: what a user may do, and what doing something needs.
//!
//! A permission is a name of segments, such as `clients.view`. What a user
//! holds may have `*` for a segment; as the last one it stands for all that
//! follow, so `reports.*` holds for `reports.view` and `reports.sales.view`,
//! and `*` for everything.

use serde::{Deserialize, Serialize};

use super::User;
use crate::runtime::failure::Failure;

/// What a user holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(Vec<String>);

/// The most that one user may hold: each call carries them.
pub const MOST: usize = 1000;

impl Permissions {
    /// Each once, in the order in which they come first; at most [`MOST`].
    pub fn new(permissions: impl IntoIterator<Item = String>) -> Permissions {
        let mut kept: Vec<String> = Vec::new();
        for permission in permissions {
            if kept.len() < MOST && !kept.contains(&permission) {
                kept.push(permission);
            }
        }
        Permissions(kept)
    }

    /// Whether they hold the one that is needed.
    pub fn hold(&self, needed: &str) -> bool {
        self.0.iter().any(|held| covers(held, needed))
    }

    /// What both hold.
    pub fn bounded_by(&self, bound: &Permissions) -> Permissions {
        Permissions::new(self.0.iter().flat_map(|held| bound.0.iter().filter_map(|allowed| meet(held, allowed))))
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl From<Permissions> for Vec<String> {
    fn from(permissions: Permissions) -> Vec<String> {
        permissions.0
    }
}

/// Whether a name with wildcards covers another, segment by segment.
pub fn covers(pattern: &str, name: &str) -> bool {
    let mut names = name.split('.');
    let mut patterns = pattern.split('.').peekable();
    while let Some(segment) = patterns.next() {
        match names.next() {
            None => return false,
            Some(_) if segment == "*" && patterns.peek().is_none() => return true,
            Some(name) if segment != "*" && segment != name => return false,
            Some(_) => {}
        }
    }
    names.next().is_none()
}

/// What two names with wildcards cover both. None: nothing.
pub fn meet(one: &str, other: &str) -> Option<String> {
    let (mut ones, mut others) = (one.split('.').peekable(), other.split('.').peekable());
    let mut met: Vec<&str> = Vec::new();
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return Some(met.join(".")),
            (Some(left), Some(right)) => {
                // As the last one, it stands for all that follow.
                let (left_ends, right_ends) = (ones.peek().is_none(), others.peek().is_none());
                if left == "*" && left_ends {
                    met.push(right);
                    met.extend(others);
                    return Some(met.join("."));
                }
                if right == "*" && right_ends {
                    met.push(left);
                    met.extend(ones);
                    return Some(met.join("."));
                }
                match (left, right) {
                    ("*", segment) | (segment, "*") => met.push(segment),
                    _ if left == right => met.push(left),
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

/// What the operator says that reading and writing something need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Needs {
    /// None: no permission.
    pub read: Option<String>,
    /// None: the same as reading.
    pub write: Option<String>,
}

/// What is done with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    Read,
    Write,
}

impl Needs {
    /// The permission that is needed, if one is.
    pub fn of(&self, mode: Mode) -> Option<&str> {
        match mode {
            Mode::Read => self.read.as_deref(),
            Mode::Write => self.write.as_deref().or(self.read.as_deref()),
        }
    }

    /// Whether nothing is needed for anything.
    pub fn is_empty(&self) -> bool {
        self.read.is_none() && self.write.is_none()
    }

    /// Refuses a user who lacks what is needed. `what` is done, as in `reading
    /// the table orders`. Without a user there are no permissions.
    pub fn check(&self, mode: Mode, user: Option<&User>, what: impl FnOnce() -> String) -> Result<(), Failure> {
        let Some(needed) = self.of(mode) else { return Ok(()) };
        match user {
            Some(user) if user.permissions.hold(needed) => Ok(()),
            Some(user) => Err(Failure::denied(format!(
                "{} needs the permission `{needed}`, which {} does not have; an administrator can grant it",
                what(),
                user.shown(),
            ))),
            None => Err(Failure::denied(format!(
                "{} needs the permission `{needed}`, and this call runs for no user; an administrator can name a \
                 service account that has it, with run_as on the script in airlock.toml",
                what(),
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_segments() {
        for (held, needed, holds) in [
            ("clients.view", "clients.view", true),
            ("clients.view", "clients.edit", false),
            ("clients.view", "clients.view.all", false),
            ("clients.view", "clients", false),
            ("clients.*", "clients.view", true),
            ("clients.*", "clients.view.all", true),
            ("clients.*", "clients", false),
            ("clients.*", "clientship.view", false),
            ("*.view", "clients.view", true),
            ("*.view", "clients.edit", false),
            ("*.view", "clients.own.view", false),
            ("clients.*.view", "clients.own.view", true),
            ("clients.*.view", "clients.view", false),
            ("*", "clients.view", true),
            ("client*", "clients.view", false),
            ("clients.v*", "clients.view", false),
            ("", "clients.view", false),
            // What is needed has no wildcards: an asterisk in it is a letter.
            ("clients.view", "clients.*", false),
            ("clients.view", "*", false),
        ] {
            let permissions = Permissions::new([held.to_owned()]);
            assert_eq!(permissions.hold(needed), holds, "{held} for {needed}");
        }
        assert!(!Permissions::default().hold("clients.view"));
    }

    #[test]
    fn two_names_meet_in_what_both_cover() {
        for (one, other, met) in [
            ("clients.view", "clients.view", Some("clients.view")),
            ("clients.view", "clients.edit", None),
            ("clients.view", "clients", None),
            ("*", "clients.view", Some("clients.view")),
            ("*", "*", Some("*")),
            ("clients.*", "*", Some("clients.*")),
            ("clients.*", "clients.own.view", Some("clients.own.view")),
            ("clients.*", "*.view", Some("clients.view")),
            ("clients.*", "*.view.all", Some("clients.view.all")),
            ("clients.*", "orders.*", None),
            ("clients.*", "clients", None),
            ("clients.*.view", "*.own.*", Some("clients.own.view")),
            ("*.view", "*.edit", None),
        ] {
            assert_eq!(meet(one, other).as_deref(), met, "{one} and {other}");
            assert_eq!(meet(other, one).as_deref(), met, "{other} and {one}");
        }
        let held = Permissions::new(["clients.*".into(), "orders.view".into()]);
        let bound = Permissions::new(["*.view".into(), "reports.view".into()]);
        assert_eq!(held.bounded_by(&bound), Permissions::new(["clients.view".into(), "orders.view".into()]));
    }

    #[test]
    fn nobody_holds_more_than_a_call_can_carry() {
        let many = Permissions::new((0..2 * MOST).map(|n| format!("p.{}", n / 2)));
        assert_eq!(many.iter().count(), MOST);
        assert!(many.hold("p.999") && !many.hold("p.1000"), "each counts once");
    }

    #[test]
    fn a_refusal_says_what_for_whom_and_who_can_help() {
        let needs = Needs { read: Some("orders.view".into()), write: None };
        let tom = User { id: "7".into(), name: "Tom".into(), ..User::default() };
        let what = || "writing the table orders".to_owned();
        let refused = needs.check(Mode::Write, Some(&tom), what).unwrap_err();
        assert_eq!(refused.name, "PermissionDenied");
        assert_eq!(
            refused.message,
            "writing the table orders needs the permission `orders.view`, which Tom (7) does not have; an administrator \
             can grant it"
        );
        let refused = needs.check(Mode::Read, None, what).unwrap_err();
        assert!(refused.message.contains("runs for no user") && refused.message.contains("run_as"), "{refused:?}");

        let seller = User { permissions: Permissions::new(["orders.*".into()]), ..tom };
        assert_eq!(needs.check(Mode::Write, Some(&seller), what), Ok(()));
        assert_eq!(Needs::default().check(Mode::Write, None, what), Ok(()));
    }
}
