//! The functions of the schema `airlock`, as [`protect`](super::protect) makes
//! them and [`audit`](super::audit) knows them again.

/// One that runs as the owner of the schema, in PL/pgSQL, and that the login
/// role alone may call.
pub(super) struct Function {
    /// As `regprocedure` reads it.
    pub signature: &'static str,
    /// What follows CREATE FUNCTION, up to the body.
    pub create: &'static str,
    pub body: &'static str,
    /// What `create` says, as `pg_proc` has it.
    pub returns: &'static str,
    pub volatility: &'static str,
    pub parallel: &'static str,
    pub settings: &'static [&'static str],
}

/// All of them.
pub(super) const FUNCTIONS: [&Function; 4] =
    [&super::token::ENTER, &super::token::TENANT, &super::bounded::TOO_LARGE, &super::gaps::GAPS];

/// What they call and is not open to everyone once [`super::protect`] is done.
pub(super) const CALLS: [&str; 7] = [
    "pg_catalog.current_setting(text)",
    "pg_catalog.currval(regclass)",
    "pg_catalog.pg_backend_pid()",
    "pg_catalog.pg_get_expr(pg_node_tree, oid)",
    "pg_catalog.set_config(text, text, boolean)",
    "pg_catalog.setval(regclass, bigint)",
    "pg_catalog.to_regprocedure(text)",
];
