//! What SQL of a script may do: an allow-list that SQLite asks while it
//! prepares a statement. What is not named here is refused.

use rusqlite::hooks::{AuthAction, AuthContext};

use crate::capabilities::db::access::Mode;

/// Functions that a statement may name, operators such as LIKE and MATCH
/// included. None of them reaches outside the database, and each call's work is
/// linear in the values it is given, of which
/// [`VALUE_BYTES`](super::connection::VALUE_BYTES) bounds each: the progress
/// handler can't stop a function that runs. `json_patch` is quadratic and so
/// is missing.
const FUNCTIONS: &[&str] = &[
    // text
    "char",
    "concat",
    "concat_ws",
    "format",
    "glob",
    "instr",
    "length",
    "like",
    "lower",
    "ltrim",
    "octet_length",
    "printf",
    "quote",
    "replace",
    "rtrim",
    "soundex",
    "substr",
    "substring",
    "trim",
    "unicode",
    "unistr",
    "upper",
    // values
    "coalesce",
    "hex",
    "if",
    "ifnull",
    "iif",
    "likelihood",
    "likely",
    "max",
    "min",
    "nullif",
    "random",
    "randomblob",
    "typeof",
    "unhex",
    "unlikely",
    "zeroblob",
    // numbers
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "ceil",
    "ceiling",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "floor",
    "ln",
    "log",
    "log10",
    "log2",
    "mod",
    "pi",
    "pow",
    "power",
    "radians",
    "round",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    // dates
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "julianday",
    "strftime",
    "time",
    "timediff",
    "unixepoch",
    // aggregates and windows
    "avg",
    "count",
    "cume_dist",
    "dense_rank",
    "first_value",
    "group_concat",
    "lag",
    "last_value",
    "lead",
    "median",
    "nth_value",
    "ntile",
    "percent_rank",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    "rank",
    "row_number",
    "string_agg",
    "sum",
    "total",
    // JSON
    "->",
    "->>",
    "json",
    "json_array",
    "json_array_length",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_pretty",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    // full-text search, where the operator made such a table
    "bm25",
    "highlight",
    "match",
    "snippet",
];

/// How many functions one statement may name. Between two of them, in one row,
/// the progress handler does not run, so this bounds the time it may miss.
pub const FUNCTIONS_PER_STATEMENT: u32 = 100;

/// A table that a statement uses, as SQLite names it.
#[derive(Debug, PartialEq, Eq)]
pub struct Touch<'a> {
    pub table: &'a str,
    pub mode: Mode,
    /// Whether no column of it is named. Common tables are asked for only so.
    pub bare: bool,
    /// The view or trigger that uses it, where the statement itself does not.
    pub within: Option<&'a str>,
}

/// Answers the table that is used, if one is. Err says what is not allowed to
/// anyone.
pub fn check<'a>(context: &AuthContext<'a>) -> Result<Option<Touch<'a>>, String> {
    if context.database_name.is_some_and(|name| name != "main") {
        return Err("only the tenant's own tables are available to scripts".to_owned());
    }
    let touch = |table, mode, bare| {
        available(table)?;
        Ok(Some(Touch { table, mode, bare, within: context.accessor }))
    };
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Ok(None),
        AuthAction::Read { table_name, column_name } => touch(table_name, Mode::Read, column_name.is_empty()),
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => touch(table_name, Mode::Write, false),
        AuthAction::Function { function_name } => function(function_name).map(|()| None),
        // Full-text search asks it for itself, with every query. It answers
        // whether the file was changed and takes no value.
        AuthAction::Pragma { pragma_name: "data_version", pragma_value: None } => Ok(None),
        AuthAction::Pragma { .. } => Err("PRAGMA is not available to scripts".to_owned()),
        AuthAction::Attach { .. } => Err("ATTACH is not available to scripts".to_owned()),
        AuthAction::Detach { .. } => Err("DETACH is not available to scripts".to_owned()),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            Err("SQL can't begin or end a transaction; db.transaction does".to_owned())
        }
        _ => Err("scripts can't change the schema".to_owned()),
    }
}

fn function(name: &str) -> Result<(), String> {
    if FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        Ok(())
    } else {
        Err(format!("the SQL function {name}() is not available to scripts"))
    }
}

/// SQLite's own tables, and the virtual ones that exist without being made,
/// tell about the file and not about the tenant's data. `json_each` and
/// `json_tree` are of the second kind and welcome.
fn available(name: &str) -> Result<(), String> {
    let name = name.to_ascii_lowercase();
    let internal = name.starts_with("sqlite_")
        || name.starts_with("pragma_")
        || matches!(name.as_str(), "dbstat" | "bytecode" | "tables_used" | "fts3tokenize" | "completion" | "stmt");
    if internal { Err(format!("the table {name} is not available to scripts")) } else { Ok(()) }
}
