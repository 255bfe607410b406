//! Against a real server: see `fixture.rs`.

mod attacks;
mod audit;
mod protect;
mod tokens;

use sqlx::{Executor, PgConnection, Row, ValueRef};

/// Runs a text as a script that got past every parser would: several statements
/// at once, where it has them. Answers the rows as text, or the SQLSTATE and the
/// message.
async fn run(connection: &mut PgConnection, sql: &str) -> Result<Vec<String>, (String, String)> {
    let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
    let rows = connection.fetch_all(sql).await.map_err(|error| match error.as_database_error() {
        Some(error) => (error.code().unwrap_or_default().into_owned(), error.message().to_owned()),
        None => ("driver".to_owned(), error.to_string()),
    })?;
    let text = |row: &sqlx::postgres::PgRow, at: usize| {
        let value = row.try_get_raw(at).unwrap();
        if value.is_null() { "NULL".to_owned() } else { value.as_str().unwrap().to_owned() }
    };
    Ok(rows.iter().map(|row| (0..row.len()).map(|at| text(row, at)).collect::<Vec<_>>().join(" ")).collect())
}
