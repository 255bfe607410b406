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
pub(super) const FUNCTIONS: [&Function; 3] = [&super::token::ENTER, &super::token::TENANT, &super::bounded::TOO_LARGE];
