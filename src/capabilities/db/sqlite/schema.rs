//! What must be known of a file's schema to tell which tables a statement uses.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use super::authorizer::Touch;

/// Tables that exist without being made, and hold nothing of the tenant's.
const EVERYBODYS: [&str; 4] = ["json_each", "json_tree", "jsonb_each", "jsonb_tree"];

/// The names of a file's tables and triggers, in small letters.
#[derive(Default)]
pub struct Schema {
    /// None before it was read.
    version: Option<i64>,
    /// With the table whose permissions count: a full-text table keeps its
    /// rows in tables of its own.
    tables: HashMap<String, String>,
    triggers: HashSet<String>,
}

impl Schema {
    /// The schema as it is now, or None where this one still is.
    pub fn read_if_changed(&self, connection: &Connection) -> rusqlite::Result<Option<Schema>> {
        let version: i64 = connection.pragma_query_value(None, "schema_version", |row| row.get(0))?;
        if self.version == Some(version) {
            return Ok(None);
        }
        let mut query = connection
            .prepare("SELECT lower(name), type FROM pragma_table_list WHERE schema = 'main' ORDER BY length(name)")?;
        let listed: Vec<(String, String)> =
            query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
        let mut tables = HashMap::new();
        for (name, kind) in &listed {
            let mut owner = name;
            if kind == "shadow" {
                // The longest name wins, for it comes last.
                for (table, kind) in &listed {
                    if kind == "virtual" && name.strip_prefix(table.as_str()).is_some_and(|rest| rest.starts_with('_'))
                    {
                        owner = table;
                    }
                }
            }
            tables.insert(name.clone(), owner.clone());
        }
        let mut query = connection.prepare("SELECT lower(name) FROM sqlite_schema WHERE type = 'trigger'")?;
        let triggers = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<HashSet<String>>>()?;
        Ok(Some(Schema { version: Some(version), tables, triggers }))
    }

    /// The table that the call needs access to, if it needs any.
    ///
    /// A view shows no more than its reader may see in the tables beneath. A
    /// trigger does what its maker may: an audit trail is of no use to those
    /// who may write it at will.
    pub fn asked_of<'a>(&'a self, touch: &Touch<'a>) -> Option<&'a str> {
        if let Some(within) = touch.within {
            let within = within.to_ascii_lowercase();
            // Where a view has the same name, it may be that.
            if self.triggers.contains(&within) && !self.tables.contains_key(&within) {
                return None;
            }
        }
        let name = touch.table.to_ascii_lowercase();
        match self.tables.get(&name) {
            Some(owner) if *owner == name => Some(touch.table),
            Some(owner) => Some(owner),
            None if touch.bare || EVERYBODYS.contains(&name.as_str()) => None,
            None => Some(touch.table),
        }
    }
}
