//! Errors of a database that is there and does not take what it is given.

use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

use super::statements::Partly;

/// Whether the database refuses the data itself, and would do so each time. One
/// that is away, full, or of another schema is not the data's fault.
pub fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Encode(_) | Error::Decode(_) | Error::ColumnDecode { .. } => true,
        Error::AnyDriverError(error) => error.is::<Partly>(),
        Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            match error.try_downcast_ref::<PgDatabaseError>() {
                // Data, constraints, what is too large or too complex, what a trigger raises.
                Some(_) => ["22", "23", "54", "P0"].iter().any(|class| code.starts_with(class)),
                // SQLITE_TOOBIG, _CONSTRAINT, _MISMATCH and _RANGE, with whatever says more.
                None => code.parse::<u32>().is_ok_and(|code| [18, 19, 20, 25].contains(&(code & 0xff))),
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::on_both_databases;
    use crate::store::{Kind, Store};

    on_both_databases!(what_is_refused_is_told_from_what_fails);

    async fn what_is_refused_is_told_from_what_fails(kind: Kind) {
        let store = Store::fresh(kind).await;
        for (sql, refused) in [
            ("INSERT INTO hosts (id, alive_until) VALUES ('one', 1)", None),
            ("INSERT INTO hosts (id, alive_until) VALUES ('one', 1)", Some(true)),
            ("INSERT INTO hosts (id, alive_until) VALUES (NULL, 1)", Some(true)),
            ("INSERT INTO hosts (id, alive_until) VALUES ('two', 'text')", Some(true)),
            ("INSERT INTO guests (id) VALUES ('one')", Some(false)),
            ("INSERT INTO hosts (id, alive_until, name) VALUES ('two', 1, '')", Some(false)),
            ("INSERT", Some(false)),
        ] {
            let written: sqlx::Result<()> = store
                .write_without_turn(move |connection| {
                    Box::pin(async move { sqlx::query(sql).execute(connection).await.map(drop) })
                })
                .await;
            assert_eq!(written.as_ref().err().map(is_refusal), refused, "{sql}: {written:?}");
        }
        assert!(!is_refusal(&Error::PoolTimedOut));
        assert!(!is_refusal(&Error::WorkerCrashed));
        assert!(!is_refusal(&Error::Io(std::io::ErrorKind::ConnectionReset.into())));
    }
}
