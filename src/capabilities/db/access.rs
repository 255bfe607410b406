//! Which tables a call may read and write: those that its script is granted,
//! and of them those for which its user holds the permissions.
//!
//! Names are compared without regard to case, as SQL does. A view or a
//! full-text table is a table here.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::capabilities;
use crate::capabilities::grant::{Allowed, Entry};
use crate::runtime::failure::Failure;
use crate::tenant::Identity;
pub use crate::tenant::permission::{Mode, Needs};

/// The tables that a script is granted.
pub type Grant = Allowed<Table>;

/// An entry of a list of tables: `orders`, `orders (read)`, `orders (write)`,
/// and the same with `*` for every table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// None: every table.
    name: Option<String>,
    read: bool,
    write: bool,
}

/// The longest name of a table, in bytes.
const NAME_BYTES: usize = 128;

/// Every table of a tenant, for whoever it is.
#[cfg(test)]
pub fn unlimited(tenant: &str) -> Access {
    let grant = capabilities::Grant { db: Grant::everything(), ..capabilities::Grant::default() };
    Access::new(crate::store::fixture::identity(tenant), Arc::new(grant), Arc::default())
}

/// Whether a grant has a script read a table.
#[cfg(test)]
pub fn may_read(grant: &Grant, table: &str) -> bool {
    grant.check(|listed| listed.allows(table, Mode::Read), Default::default).is_ok()
}

impl Table {
    fn allows(&self, table: &str, mode: Mode) -> bool {
        let named = self.name.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(table));
        named
            && match mode {
                Mode::Read => self.read,
                Mode::Write => self.write,
            }
    }
}

impl Entry for Table {
    const LIST: &'static str = "tables";

    fn covers(&self, other: &Table) -> bool {
        let named = match (&self.name, &other.name) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(name), Some(other)) => name.eq_ignore_ascii_case(other),
        };
        named && self.read >= other.read && self.write >= other.write
    }

    fn meet(&self, other: &Table) -> Option<Table> {
        let name = match (&self.name, &other.name) {
            (Some(name), Some(other)) if !name.eq_ignore_ascii_case(other) => return None,
            (name, other) => name.as_ref().or(other.as_ref()).cloned(),
        };
        let met = Table { name, read: self.read && other.read, write: self.write && other.write };
        (met.read || met.write).then_some(met)
    }
}

impl FromStr for Table {
    type Err = String;

    fn from_str(text: &str) -> Result<Table, String> {
        let (name, mode) = match text.split_once('(') {
            None => (text, None),
            Some((name, mode)) => (name, Some(mode)),
        };
        let (read, write) = match mode.map(|mode| mode.trim().trim_end_matches(')').trim()) {
            None => (true, true),
            Some("read") => (true, false),
            Some("write") => (false, true),
            Some(_) => return Err(format!("`{text}`: a table is followed by nothing, `(read)` or `(write)`")),
        };
        let name = name.trim();
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let name = match name {
            "*" => None,
            _ if (1..=NAME_BYTES).contains(&name.len()) && name.chars().all(plain) => Some(name.to_owned()),
            _ => return Err(format!("`{text}` is not a table; write `orders`, `orders (read)` or `*`")),
        };
        Ok(Table { name, read, write })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name.as_deref().unwrap_or("*"))?;
        match (self.read, self.write) {
            (true, false) => formatter.write_str(" (read)"),
            (false, true) => formatter.write_str(" (write)"),
            _ => Ok(()),
        }
    }
}

/// The permissions that tables need, as the operator says.
#[derive(Debug, Default)]
pub struct Rules {
    /// What `[tables]` says, by the name in small letters.
    own: HashMap<String, Needs>,
    /// What `[services]` says of services made of tables, by the table.
    services: HashMap<String, Vec<Needs>>,
    /// What `[tables."*"]` says of tables that nothing else speaks of.
    others: Needs,
}

impl Rules {
    /// `tables` by name, with `*` for those that are not named; `services` as
    /// the tables of services and what the services need.
    pub fn new(
        tables: impl IntoIterator<Item = (String, Needs)>,
        services: impl IntoIterator<Item = (String, Needs)>,
    ) -> Rules {
        let mut rules = Rules::default();
        for (name, needs) in tables {
            match name.as_str() {
                "*" => rules.others = needs,
                _ => drop(rules.own.insert(name.to_ascii_lowercase(), needs)),
            }
        }
        for (table, needs) in services.into_iter().filter(|(_, needs)| !needs.is_empty()) {
            rules.services.entry(table.to_ascii_lowercase()).or_default().push(needs);
        }
        rules
    }

    /// What a table needs. All of it must hold.
    fn of(&self, table: &str, through: &Through) -> &[Needs] {
        let name = table.to_ascii_lowercase();
        if let Some(own) = self.own.get(&name) {
            return std::slice::from_ref(own);
        }
        match through {
            Through::Sql => self.services.get(&name).map(Vec::as_slice),
            // It has asked for its own permission already.
            Through::Service { needs, .. } => (!needs.is_empty()).then_some(&[][..]),
        }
        .unwrap_or(std::slice::from_ref(&self.others))
    }
}

/// How a call comes to a table.
#[derive(Debug, Clone)]
enum Through {
    Sql,
    /// A service that the script was granted, and that is made of a table.
    Service {
        table: Arc<str>,
        needs: Needs,
    },
}

/// What one call may do with tables. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    identity: Arc<Identity>,
    grant: Arc<capabilities::Grant>,
    rules: Arc<Rules>,
    through: Through,
}

impl Access {
    /// Of the script's own SQL and of `db`'s functions.
    pub fn new(identity: Arc<Identity>, grant: Arc<capabilities::Grant>, rules: Arc<Rules>) -> Access {
        Access { identity, grant, rules, through: Through::Sql }
    }

    /// Of a service made of a table: the grant of the service is that of its
    /// table, and what the service `needs` was checked.
    pub fn of_service(&self, table: &str, needs: &Needs) -> Access {
        Access { through: Through::Service { table: table.into(), needs: needs.clone() }, ..self.clone() }
    }

    /// The id of the tenant that the call runs for.
    pub fn tenant(&self) -> &str {
        &self.identity.tenant.id
    }

    /// Refuses a table that the call may not read.
    pub fn read(&self, table: &str) -> Result<(), Failure> {
        self.check(table, Mode::Read)
    }

    /// Refuses a table that the call may not write: insert into, update, or
    /// delete from. A statement that looks at the rows it writes reads as well.
    pub fn write(&self, table: &str) -> Result<(), Failure> {
        self.check(table, Mode::Write)
    }

    pub fn check(&self, table: &str, mode: Mode) -> Result<(), Failure> {
        let granted = match &self.through {
            Through::Service { table: own, .. } => own.eq_ignore_ascii_case(table),
            Through::Sql => false,
        };
        if !granted {
            let entry = match mode {
                Mode::Read => format!("{table} (read)"),
                Mode::Write => table.to_owned(),
            };
            self.grant.db.check(|listed| listed.allows(table, mode), || (done(table, mode), entry))?;
        }
        for needs in self.rules.of(table, &self.through) {
            needs.check(mode, self.identity.user.as_ref(), || done(table, mode))?;
        }
        Ok(())
    }
}

fn done(table: &str, mode: Mode) -> String {
    match mode {
        Mode::Read => format!("reading the table {table}"),
        Mode::Write => format!("writing the table {table}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::grant::Granted;
    use crate::store::fixture::identity;
    use crate::tenant::{Permissions, User};

    fn tables(entries: &[&str]) -> Vec<Table> {
        entries.iter().map(|entry| entry.parse().unwrap()).collect()
    }

    /// What a call of somebody with these permissions may do.
    fn access(grant: Grant, permissions: Option<&[&str]>, rules: Rules) -> Access {
        let mut identity = Identity::clone(&identity("acme"));
        identity.user = permissions.map(|held| User {
            id: "7".into(),
            permissions: Permissions::new(held.iter().map(|held| (*held).to_owned())),
            ..User::default()
        });
        let grant = capabilities::Grant { db: grant, ..capabilities::Grant::default() };
        Access::new(Arc::new(identity), Arc::new(grant), Arc::new(rules))
    }

    fn needs(read: &str, write: &str) -> Needs {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Needs { read: text(read), write: text(write) }
    }

    #[test]
    fn entries_are_read_and_shown_alike() {
        for text in ["orders", "orders (read)", "orders (write)", "*", "* (read)", "größe"] {
            assert_eq!(text.parse::<Table>().unwrap().to_string(), text);
        }
        assert_eq!("orders(read )".parse::<Table>().unwrap().to_string(), "orders (read)");
        for text in ["", "(read)", "orders (all)", "orders (read) x", "a.b", "a b", "sales_*", "a\"b", "a;b"] {
            assert!(text.parse::<Table>().is_err(), "{text}");
        }
        for (wide, narrow, covers) in [
            ("*", "orders", true),
            ("orders", "Orders (read)", true),
            ("orders (read)", "orders", false),
            ("orders", "*", false),
            ("* (read)", "orders (read)", true),
        ] {
            let (wide, narrow): (Table, Table) = (wide.parse().unwrap(), narrow.parse().unwrap());
            assert_eq!(wide.covers(&narrow), covers, "{wide} for {narrow}");
        }
    }

    #[test]
    fn a_script_reaches_the_tables_on_its_lists() {
        let both = |declared: Option<&[&str]>, granted: Granted<Table>| {
            let grant = Grant { declared: declared.map(tables), granted };
            let access = access(grant, None, Rules::default());
            ["clients", "ORDERS", "notes"].map(|table| {
                let may = |mode| access.check(table, mode).is_ok();
                format!("{}{}", if may(Mode::Read) { "r" } else { "" }, if may(Mode::Write) { "w" } else { "" })
            })
        };
        let these = |entries: &[&str]| Granted::These(tables(entries));
        assert_eq!(both(None, Granted::Nothing), ["", "", ""]);
        assert_eq!(both(None, Granted::Everything), ["rw", "rw", "rw"]);
        assert_eq!(both(None, these(&["clients (read)", "orders"])), ["r", "rw", ""]);
        assert_eq!(both(Some(&["clients", "orders (write)"]), Granted::Everything), ["rw", "w", ""]);
        assert_eq!(both(Some(&["*"]), these(&["clients (read)", "orders"])), ["r", "rw", ""]);
        assert_eq!(both(Some(&["clients (write)", "notes"]), these(&["clients (read)"])), ["", "", ""]);
        assert_eq!(both(Some(&["clients"]), Granted::Nothing), ["", "", ""]);
    }

    #[test]
    fn a_refusal_says_whose_list_lacks_it() {
        let refused = access(Grant::these(tables(&["orders (read)"])), None, Rules::default()).write("orders");
        assert_eq!(
            refused.unwrap_err().message,
            "this script is not granted writing the table orders; grants.tables = [\"orders\"] on the script in \
             airlock.toml allows it"
        );
        let grant = Grant { declared: Some(tables(&["orders"])), granted: Granted::Everything };
        assert_eq!(
            access(grant, None, Rules::default()).read("clients").unwrap_err().message,
            "this script does not declare reading the table clients; `@airlock tables: clients (read)` in the comment at \
             its top does"
        );
    }

    #[test]
    fn no_call_does_more_than_its_user() {
        let rules = || {
            let own = [("Orders", needs("orders.view", "orders.edit")), ("notes", needs("notes.view", ""))];
            let services = [
                ("clients", needs("clients.view", "clients.edit")),
                ("clients", needs("members.view", "")),
                ("orders", needs("never.asked", "")),
            ];
            let named = |(name, needs): (&str, Needs)| (name.to_owned(), needs);
            Rules::new(own.map(named), services.map(named))
        };
        for (held, table, reads, writes) in [
            (Some(&["orders.view"][..]), "ORDERS", true, false),
            (Some(&["orders.edit"]), "orders", false, true),
            (Some(&["orders.*"]), "orders", true, true),
            (Some(&["notes.view"]), "notes", true, true),
            (Some(&["clients.view"]), "clients", false, false),
            (Some(&["clients.*", "members.view"]), "clients", true, true),
            (Some(&[]), "unnamed", true, true),
            (Some(&[]), "orders", false, false),
            (None, "orders", false, false),
            (None, "unnamed", true, true),
        ] {
            let access = access(Grant::everything(), held, rules());
            assert_eq!(access.read(table).is_ok(), reads, "{held:?} reads {table}");
            assert_eq!(access.write(table).is_ok(), writes, "{held:?} writes {table}");
        }
    }

    #[test]
    fn an_asterisk_speaks_for_the_tables_that_nothing_names() {
        let tables = [("*", needs("data.read", "data.write")), ("orders", needs("", "orders.edit"))];
        let rules = Rules::new(tables.map(|(name, needs)| (name.to_owned(), needs)), []);
        let access = access(Grant::everything(), Some(&["data.read"]), rules);
        assert!(access.read("clients").is_ok() && access.write("clients").is_err());
        assert!(access.read("orders").is_ok() && access.write("orders").is_err());
    }

    #[test]
    fn a_service_reaches_its_own_table_without_a_grant_of_it() {
        let rules = || {
            let own = ("orders".to_owned(), needs("orders.view", ""));
            Rules::new([own, ("*".to_owned(), needs("data.read", ""))], [])
        };
        let of = |held: &[&str], table: &str, service: Needs| {
            access(Grant::default(), Some(held), rules()).of_service(table, &service)
        };
        let asked = || needs("clients.view", "");
        assert!(of(&[], "clients", asked()).read("clients").is_ok(), "the service has asked");
        assert!(of(&[], "clients", Needs::default()).read("clients").is_err(), "nobody has asked");
        assert!(of(&[], "orders", asked()).read("orders").is_err(), "the table asks as well");
        assert!(of(&["orders.view"], "orders", asked()).read("orders").is_ok());
        assert!(of(&["*"], "clients", asked()).read("orders").is_err(), "another table");
    }
}
