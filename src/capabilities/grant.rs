//! What a script may use, as two parties say it: the script, which declares
//! what it wants, and the operator, who grants it.
//!
//! Both speak in the same lists:
//!
//! | list | entries |
//! |---|---|
//! | `capabilities` | `storage` |
//! | `events` | what may be published: `order.created`, `order.*`, `*` |
//! | `http` | hosts, see [`Pattern`](super::http::Pattern) |
//! | `secrets` | names |
//! | `services` | names, `*` |
//! | `tables` | `orders`, `orders (read)`, `orders (write)`, `*` |
//!
//! `context`, the log, `utils` and timers are everybody's.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::{Grant, db, events, http, secrets, services};
use crate::runtime::failure::Failure;

/// The lists' names.
pub const LISTS: [&str; 6] = ["capabilities", "events", "http", "secrets", "services", "tables"];

/// Those that need the operator's word whatever the script declares: with them,
/// data can leave the host.
pub const NEVER_BY_DECLARATION: [&str; 2] = ["http", "secrets"];

/// The most entries that one list may have: each is looked at in turn.
pub const ENTRIES: usize = 200;
/// The longest entry, in bytes.
const ENTRY_BYTES: usize = 300;

/// Lists as text, by their names.
pub type Lists = BTreeMap<String, Vec<String>>;

/// [`Lists`], as the API's document shows them.
pub struct Shown;

impl PartialSchema for Shown {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(ENTRY_BYTES));
        let list = ArrayBuilder::new().items(text).max_items(Some(ENTRIES)).build();
        let lists = LISTS.iter().fold(ObjectBuilder::new(), |lists, name| lists.property(*name, list.clone()));
        lists.additional_properties(Some(AdditionalProperties::FreeForm(false))).into()
    }
}

impl ToSchema for Shown {
    fn name() -> Cow<'static, str> {
        "Lists".into()
    }
}

/// An entry of one of the lists. Displays as it is written.
pub trait Entry: FromStr<Err: Display> + Display + Clone {
    /// The list that it stands in.
    const LIST: &'static str;

    /// Whether all that `other` allows is allowed by this one as well.
    fn covers(&self, other: &Self) -> bool;

    /// What both allow. None: nothing. Two entries that allow some of the same
    /// and neither all of the other's need more than this.
    fn meet(&self, other: &Self) -> Option<Self> {
        [(self, other), (other, self)]
            .into_iter()
            .find(|(wide, narrow)| wide.covers(narrow))
            .map(|(_, narrow)| narrow.clone())
    }
}

/// Reads an entry of the list of that name and answers how it is written best.
pub fn read(list: &str, text: &str) -> Result<String, String> {
    fn entry<T: Entry>(text: &str) -> Result<String, String> {
        text.parse::<T>().map(|entry| entry.to_string()).map_err(|reason| reason.to_string())
    }
    if text.len() > ENTRY_BYTES {
        return Err(format!("an entry has {ENTRY_BYTES} bytes at most"));
    }
    match list {
        "capabilities" => entry::<Capability>(text),
        "events" => entry::<events::Pattern>(text),
        "http" => entry::<http::Pattern>(text),
        "secrets" => entry::<secrets::Name>(text),
        "services" => entry::<services::Name>(text),
        "tables" => entry::<db::access::Table>(text),
        _ => Err(format!("`{list}` is not one of {}", LISTS.join(", "))),
    }
}

/// What the lists `to` allow and the lists `from` do not, without lists that are
/// empty. An entry that several together cover counts as new.
pub fn beyond(to: &Lists, from: &Lists) -> Lists {
    fn new<T: Entry>(to: &[String], from: &[String]) -> Vec<String> {
        let from: Vec<T> = from.iter().filter_map(|text| text.parse().ok()).collect();
        let covered =
            |text: &String| text.parse::<T>().is_ok_and(|entry| from.iter().any(|known| known.covers(&entry)));
        to.iter().filter(|text| !covered(text)).cloned().collect()
    }
    let none = Vec::new();
    let lists = to.iter().map(|(list, entries)| {
        let known = from.get(list).unwrap_or(&none);
        let more = match list.as_str() {
            "capabilities" => new::<Capability>(entries, known),
            "events" => new::<events::Pattern>(entries, known),
            "http" => new::<http::Pattern>(entries, known),
            "secrets" => new::<secrets::Name>(entries, known),
            "services" => new::<services::Name>(entries, known),
            "tables" => new::<db::access::Table>(entries, known),
            _ => entries.clone(),
        };
        (list.clone(), more)
    });
    lists.filter(|(_, more)| !more.is_empty()).collect()
}

/// What has no list of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    Storage,
}

impl FromStr for Capability {
    type Err = String;

    fn from_str(text: &str) -> Result<Capability, String> {
        match text {
            "storage" => Ok(Capability::Storage),
            _ if LISTS.contains(&text) => Err(format!("`{text}` has a list of its own: `{text}: …`")),
            _ => Err(format!("`{text}` is not a capability that is granted by its name; there is: storage")),
        }
    }
}

impl Display for Capability {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Capability::Storage => formatter.write_str("storage"),
        }
    }
}

impl Entry for Capability {
    const LIST: &'static str = "capabilities";

    fn covers(&self, other: &Capability) -> bool {
        self == other
    }
}

impl Allowed<Capability> {
    /// Refuses a script that was not granted the storage.
    pub fn storage(&self) -> Result<(), Failure> {
        self.check(|granted| *granted == Capability::Storage, || ("the storage".to_owned(), "storage".to_owned()))
    }
}

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

/// Who speaks for the operator.
#[derive(Debug, Clone, Copy)]
pub enum Operator<'a> {
    /// The settings. A list that they leave out is left to the declaration,
    /// unless it is one of [`NEVER_BY_DECLARATION`].
    Settings(&'a Lists),
    /// Somebody who runs a script of their own by hand: all that it declares, or
    /// without a declaration all but [`NEVER_BY_DECLARATION`].
    Developer,
}

impl Grant {
    /// Brings both words together. Err names the entry that can't be read.
    pub fn new(declared: Option<&Lists>, operator: Operator<'_>) -> Result<Grant, String> {
        Ok(Grant {
            capabilities: Allowed::new(declared, operator)?,
            db: Allowed::new(declared, operator)?,
            events: Allowed::new(declared, operator)?,
            http: Allowed::new(declared, operator)?,
            secrets: Allowed::new(declared, operator)?,
            services: Allowed::new(declared, operator)?,
        })
    }

    /// What the script can use after both words, as lists without those that are
    /// empty.
    pub fn reach(&self) -> Lists {
        let all = [
            self.capabilities.reach(),
            self.db.reach(),
            self.events.reach(),
            self.http.reach(),
            self.secrets.reach(),
            self.services.reach(),
        ];
        all.into_iter()
            .filter(|(_, entries)| !entries.is_empty())
            .map(|(list, entries)| (list.to_owned(), entries))
            .collect()
    }

    /// What the script declares and the operator does not grant, as the list's
    /// name and the entry.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let all = [
            self.capabilities.missing(),
            self.db.missing(),
            self.events.missing(),
            self.http.missing(),
            self.secrets.missing(),
            self.services.missing(),
        ];
        all.into_iter().flatten().collect()
    }
}

impl<T: Entry> Allowed<T> {
    fn new(declared: Option<&Lists>, operator: Operator<'_>) -> Result<Allowed<T>, String> {
        let entries = |lists: &Lists| -> Result<Option<Vec<T>>, String> {
            let Some(list) = lists.get(T::LIST) else { return Ok(None) };
            let entries =
                list.iter().take(ENTRIES).map(|text| text.parse().map_err(|reason: T::Err| reason.to_string()));
            entries.collect::<Result<_, _>>().map(Some)
        };
        let sensitive = NEVER_BY_DECLARATION.contains(&T::LIST);
        let silent = match operator {
            Operator::Settings(_) => declared.is_none() || sensitive,
            Operator::Developer => declared.is_none() && sensitive,
        };
        let given = match operator {
            Operator::Settings(lists) => entries(lists)?,
            Operator::Developer => None,
        };
        let granted = match given {
            Some(list) => Granted::These(list),
            None if silent => Granted::Nothing,
            None => Granted::Everything,
        };
        let declared = declared.map(|lists| entries(lists).map(Option::unwrap_or_default)).transpose()?;
        Ok(Allowed { declared, granted })
    }

    /// What the operator lists, and nothing else.
    pub fn these(list: Vec<T>) -> Allowed<T> {
        Allowed { declared: None, granted: Granted::These(list) }
    }

    pub fn everything() -> Allowed<T> {
        Allowed { declared: None, granted: Granted::Everything }
    }

    /// Refuses what no entry of a list `covers`, and says whose list it is.
    /// `wanted` is what the script wants, such as `reading the table orders`,
    /// and the entry that would allow it.
    pub fn check(&self, covers: impl Fn(&T) -> bool, wanted: impl FnOnce() -> (String, String)) -> Result<(), Failure> {
        let declared = self.declared.as_ref().is_none_or(|list| list.iter().any(&covers));
        let granted = match &self.granted {
            Granted::Nothing => false,
            Granted::Everything => true,
            Granted::These(list) => list.iter().any(&covers),
        };
        if declared && granted {
            return Ok(());
        }
        let (what, entry) = wanted();
        let line = format!("`@airlock {}: {entry}`", T::LIST);
        let setting = format!("grants.{} = [\"{entry}\"] on the script in airlock.toml", T::LIST);
        Err(Failure::denied(match (&self.declared, &self.granted) {
            _ if !declared => format!("this script does not declare {what}; {line} in the comment at its top does"),
            // Where a declaration alone is enough.
            (None, Granted::Nothing) if !NEVER_BY_DECLARATION.contains(&T::LIST) => format!(
                "this script is not granted {what}; {line} in a comment at its top declares it, or {setting} allows it"
            ),
            _ => format!("this script is not granted {what}; {setting} allows it"),
        }))
    }

    fn reach(&self) -> (&'static str, Vec<String>) {
        let mut entries: Vec<String> = match (&self.declared, &self.granted) {
            (_, Granted::Nothing) => Vec::new(),
            (None, Granted::Everything) => vec!["*".to_owned()],
            (Some(list), Granted::Everything) | (None, Granted::These(list)) => list.iter().map(T::to_string).collect(),
            (Some(declared), Granted::These(granted)) => {
                let met = declared.iter().flat_map(|one| granted.iter().filter_map(|other| one.meet(other)));
                met.map(|entry| entry.to_string()).collect()
            }
        };
        entries.sort_unstable();
        entries.dedup();
        (T::LIST, entries)
    }

    fn missing(&self) -> Vec<(&'static str, String)> {
        let granted = |entry: &T| match &self.granted {
            Granted::Nothing => false,
            Granted::Everything => true,
            Granted::These(list) => list.iter().any(|granted| granted.covers(entry)),
        };
        let declared = self.declared.iter().flatten();
        declared.filter(|entry| !granted(entry)).map(|entry| (T::LIST, entry.to_string())).collect()
    }
}

/// What a script called something, fit for a message.
pub fn shown(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(60).collect()
}

/// A name of letters, digits and `_` that does not begin with a digit.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Declared, granted, and what can be used.
    #[test]
    fn a_script_reaches_what_both_words_allow() {
        type L<'a> = &'a [(&'a str, &'a [&'a str])];
        let cases: &[(Option<L<'_>>, L<'_>, L<'_>)] = &[
            (None, &[], &[]),
            (None, &[("tables", &["orders"])], &[("tables", &["orders"])]),
            (Some(&[("tables", &["orders"])]), &[], &[("tables", &["orders"])]),
            // With these, data can leave the host.
            (Some(&[("http", &["a.example"]), ("secrets", &["KEY"])]), &[], &[]),
            (Some(&[("http", &["a.example"])]), &[("http", &["*.example", "b.test"])], &[("http", &["a.example"])]),
            (Some(&[("http", &["*.example"])]), &[("http", &["a.example"])], &[("http", &["a.example"])]),
            (Some(&[("tables", &["* (read)"])]), &[("tables", &["orders"])], &[("tables", &["orders (read)"])]),
            (Some(&[("tables", &["orders (read)"])]), &[("tables", &["orders (write)"])], &[]),
            (Some(&[("events", &["order.*"])]), &[("events", &["*.created"])], &[("events", &["order.created"])]),
            (Some(&[("capabilities", &["storage"])]), &[("capabilities", &[])], &[]),
            (Some(&[("services", &["clients"])]), &[("services", &["*"])], &[("services", &["clients"])]),
            (Some(&[]), &[("tables", &["orders"])], &[]),
        ];
        for (declared, granted, reach) in cases {
            let declared = declared.map(lists);
            let granted = lists(granted);
            let grant = Grant::new(declared.as_ref(), Operator::Settings(&granted)).unwrap();
            assert_eq!(grant.reach(), lists(reach), "{declared:?} and {granted:?}");
        }
    }

    #[test]
    fn what_goes_beyond_is_named() {
        let from = lists(&[("tables", &["orders", "clients (read)"]), ("http", &["*.example"])]);
        for (list, entry, new) in [
            ("tables", "orders (read)", false),
            ("tables", "clients", true),
            ("tables", "*", true),
            ("http", "a.example", false),
            ("http", "a.test", true),
            ("secrets", "KEY", true),
        ] {
            let to = lists(&[(list, &[entry])]);
            assert_eq!(beyond(&to, &from), if new { to.clone() } else { Lists::new() }, "{list}: {entry}");
        }
        assert_eq!(beyond(&Lists::new(), &from), Lists::new());
    }

    fn lists(lists: &[(&str, &[&str])]) -> Lists {
        let owned = |entries: &[&str]| entries.iter().map(|entry| (*entry).to_owned()).collect();
        lists.iter().map(|(name, entries)| ((*name).to_owned(), owned(entries))).collect()
    }

    /// Which of the lists let a script use what `all` names.
    fn used(declared: Option<&[(&str, &[&str])]>, operator: Operator<'_>) -> Vec<&'static str> {
        let declared = declared.map(lists);
        let grant = Grant::new(declared.as_ref(), operator).unwrap();
        let url = url::Url::parse("https://api.example.com/").unwrap();
        let wanted = || (String::new(), String::new());
        let may = [
            ("capabilities", grant.capabilities.storage().is_ok()),
            ("events", grant.events.check(|entry| entry.allows("order.made"), wanted).is_ok()),
            ("http", grant.http.check(|entry| entry.allows(&url), wanted).is_ok()),
            ("secrets", grant.secrets.check(|entry| entry.to_string() == "KEY", wanted).is_ok()),
            ("services", grant.services.check(|entry| entry.allows("clients"), wanted).is_ok()),
            ("tables", db::access::may_read(&grant.db, "orders")),
        ];
        may.into_iter().filter(|(_, may)| *may).map(|(list, _)| list).collect()
    }

    const ALL: &[(&str, &[&str])] = &[
        ("capabilities", &["storage"]),
        ("events", &["order.*"]),
        ("http", &["api.example.com"]),
        ("secrets", &["KEY"]),
        ("services", &["clients"]),
        ("tables", &["orders"]),
    ];

    #[test]
    fn nobody_speaks_and_nothing_is_allowed() {
        assert!(used(None, Operator::Settings(&Lists::new())).is_empty());
        assert!(used(Some(&[]), Operator::Settings(&Lists::new())).is_empty());
        assert!(used(Some(&[]), Operator::Settings(&lists(ALL))).is_empty());
    }

    #[test]
    fn a_declaration_alone_reaches_nothing_outside() {
        let mine = ["capabilities", "events", "services", "tables"];
        assert_eq!(used(Some(ALL), Operator::Settings(&Lists::new())), mine);
        let with_http = lists(&[("http", &["*.example.com"])]);
        assert_eq!(
            used(Some(ALL), Operator::Settings(&with_http)),
            ["capabilities", "events", "http", "services", "tables"]
        );
    }

    #[test]
    fn the_operators_word_is_final() {
        assert_eq!(used(None, Operator::Settings(&lists(ALL))), LISTS);
        assert_eq!(used(Some(ALL), Operator::Settings(&lists(ALL))), LISTS);
        let others = lists(&[("tables", &["clients"]), ("services", &[]), ("events", &["client.*"])]);
        assert_eq!(used(Some(ALL), Operator::Settings(&others)), ["capabilities"]);
    }

    #[test]
    fn who_runs_a_script_by_hand_is_the_operator() {
        assert_eq!(used(Some(ALL), Operator::Developer), LISTS);
        assert_eq!(used(Some(&[("tables", &["*"])]), Operator::Developer), ["tables"]);
        assert_eq!(used(None, Operator::Developer), ["capabilities", "events", "services", "tables"]);
    }

    #[test]
    fn what_is_declared_in_vain_is_named() {
        let granted = lists(&[("tables", &["orders (read)"]), ("events", &["order.*"]), ("http", &["*.example.com"])]);
        let grant = Grant::new(Some(&lists(ALL)), Operator::Settings(&granted)).unwrap();
        assert_eq!(grant.missing(), [("tables", "orders".to_owned()), ("secrets", "KEY".to_owned())]);
        assert!(Grant::new(Some(&lists(ALL)), Operator::Developer).unwrap().missing().is_empty());
    }

    #[test]
    fn entries_are_written_in_one_way() {
        for (list, text, written) in [
            ("capabilities", "storage", Some("storage")),
            ("capabilities", "db", None),
            ("events", "order.*", Some("order.*")),
            ("events", "order created", None),
            ("events", "order*", None),
            ("http", "https://API.example.com:443", Some("api.example.com")),
            ("http", "api.example.com/path", None),
            ("secrets", "STRIPE_KEY", Some("STRIPE_KEY")),
            ("secrets", "*", None),
            ("secrets", "9", None),
            ("services", "*", Some("*")),
            ("services", "clients", Some("clients")),
            ("services", "a.b", None),
            ("tables", "orders(read)", Some("orders (read)")),
            ("table", "orders", None),
        ] {
            assert_eq!(read(list, text).ok().as_deref(), written, "{list}: {text}");
        }
        assert!(read("tables", &"x".repeat(ENTRY_BYTES + 1)).is_err());
    }
}
