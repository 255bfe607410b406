//! The tables that scripts may name: those that `airlock db protect` protects.

use std::collections::HashMap;

/// What is known of the tables. A new one is read when the application has
/// changed them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By name. No two have the same, in whatever schema.
    tables: HashMap<String, Table>,
    /// The application's functions that scripts may call, and how SQL names them.
    functions: HashMap<String, String>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub schema: String,
    pub name: String,
    /// The column that says whose a row is. Every key begins with it. None where
    /// all tenants read the same rows.
    pub tenant: Option<String>,
    /// In their order, the tenant's column among them.
    pub columns: Vec<Column>,
    /// The columns of each unique constraint and index, by its name.
    pub keys: HashMap<String, Vec<String>>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// The type as SQL writes it.
    pub kind: String,
    /// The type's number. That of the type it is based on, for a domain.
    pub oid: u32,
    pub not_null: bool,
    /// Whether its type bounds its values, as `varchar(80)` does.
    pub short: bool,
    /// Whether the database numbers the rows in it.
    pub numbered: bool,
    /// Whether the type is the application's own, and a list of words.
    pub plain: bool,
}

impl Catalog {
    pub fn new(
        tables: impl IntoIterator<Item = Table>,
        functions: impl IntoIterator<Item = (String, String)>,
    ) -> Catalog {
        Catalog {
            tables: tables.into_iter().map(|table| (table.name.clone(), table)).collect(),
            functions: functions.into_iter().collect(),
        }
    }

    /// A function of the application's, as SQL names it.
    pub fn function(&self, name: &str) -> Option<&str> {
        self.functions.get(name).map(String::as_str)
    }

    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// The tables' names in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tables.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Whether any table has a column of that name.
    pub fn has_column(&self, name: &str) -> bool {
        self.tables.values().any(|table| table.column(name).is_some())
    }

    /// The names of all columns of the tables that are `known`.
    pub fn columns(&self, known: impl Fn(&str) -> bool) -> Vec<&str> {
        let tables = self.tables.values().filter(|table| known(&table.name));
        let mut names: Vec<&str> = tables.flat_map(Table::shown).map(|column| &*column.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// All columns but the tenant's.
    pub fn shown(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| Some(&column.name) != self.tenant.as_ref())
    }

    /// The column that the database numbers the rows in.
    pub fn numbered(&self) -> Option<&Column> {
        self.columns.iter().find(|column| column.numbered)
    }

    /// The table as SQL names it.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }
}

/// A quoted name.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
