//! Inserting many rows with few values.
//!
//! To bind a value and to copy it into its row is what a row costs most: of executions,
//! SQLite took a third less for each when five columns of 25 were left out. So what rows
//! have in common is bound once, and what most have not is named for the others alone.

use sqlx::Arguments;
use sqlx::any::AnyArguments;
use sqlx::error::BoxDynError;

use super::{Connection, Kind, Statements, all_or_none};

/// How rows with the same columns are inserted, but for those that are there.
pub struct Insert {
    /// Rows of one place, and of any.
    of_one: Statements,
    of_any: Statements,
    /// How many values all rows of a statement share, and each has at most.
    alike: usize,
    each: usize,
}

/// Columns of a table. What is left out is NULL.
pub struct Columns<'a> {
    pub table: &'a str,
    /// Which are 0.
    pub zero: &'a [&'a str],
    /// Which all rows of a statement share.
    pub alike: &'a [&'a str],
    /// Which all rows of a statement share where they are of one place, as most are.
    pub place: &'a [&'a str],
    /// Which each row has for itself.
    pub own: &'a [&'a str],
}

/// Binds the values of rows that are alike, in the order of their columns.
pub trait Bind<R> {
    /// What all rows share.
    fn alike(&self, values: &mut AnyArguments) -> Result<(), BoxDynError>;
    /// Whether both rows have the same place.
    fn is_one(&self, row: &R, other: &R) -> bool;
    fn place(&self, row: &R, values: &mut AnyArguments) -> Result<(), BoxDynError>;
    fn own(&self, row: &R, values: &mut AnyArguments) -> Result<(), BoxDynError>;
}

impl Insert {
    pub fn new(columns: &Columns<'_>) -> Insert {
        let Columns { alike, place, own, .. } = columns;
        let (alike, place, own) = (alike.len(), place.len(), own.len());
        Insert {
            of_one: Statements::new(|rows, kind| columns.text(rows, kind, alike + place, own)),
            of_any: Statements::new(|rows, kind| columns.text(rows, kind, alike, place + own)),
            alike: alike + place,
            each: place + own,
        }
    }

    /// Inserts rows that are alike. Answers those that were not there, in parts.
    ///
    /// # Errors
    ///
    /// Where the database fails or refuses it, which it also does where some of the rows
    /// are there and others are not: each by itself is taken.
    pub async fn run<'r, R>(
        &'static self,
        connection: &mut Connection,
        bind: &impl Bind<R>,
        rows: &'r [R],
    ) -> sqlx::Result<Vec<&'r [R]>> {
        let is_one = rows.windows(2).all(|two| matches!(two, [one, other] if bind.is_one(one, other)));
        let statements = if is_one { &self.of_one } else { &self.of_any };
        let mut new = Vec::new();
        for (sql, some) in statements.split(Kind::of(connection), rows) {
            let values = self.values(bind, some, is_one).map_err(sqlx::Error::Encode)?;
            let inserted = sqlx::query_with(sql, values).execute(&mut *connection).await?;
            if all_or_none(inserted.rows_affected(), some.len())? {
                new.push(some);
            }
        }
        Ok(new)
    }

    /// The values of rows that are alike, and `is_one`: of one place.
    pub fn values<R>(&self, bind: &impl Bind<R>, rows: &[R], is_one: bool) -> Result<AnyArguments, BoxDynError> {
        let mut values = AnyArguments::default();
        values.reserve(self.alike + rows.len() * self.each, 0);
        bind.alike(&mut values)?;
        if is_one && let Some(row) = rows.first() {
            bind.place(row, &mut values)?;
        }
        for row in rows {
            if !is_one {
                bind.place(row, &mut values)?;
            }
            bind.own(row, &mut values)?;
        }
        Ok(values)
    }
}

impl Columns<'_> {
    /// For so many rows, of which the first values are those of all.
    fn text(&self, rows: usize, kind: Kind, common: usize, own: usize) -> String {
        let Columns { table, alike, place, own: columns, zero } = self;
        let names = [zero, alike, place, columns].map(|names| names.iter().copied()).into_iter().flatten();
        // SQLite would else note what each page was, to undo the statement by itself where
        // a row is refused. What it belongs to is undone as a whole.
        let or_fail = match kind {
            Kind::Sqlite => "OR FAIL ",
            Kind::Postgres => "",
        };
        format!(
            "INSERT {or_fail}INTO {table} ({}) SELECT {}{}, own.* FROM (VALUES {}) AS own WHERE true
             ON CONFLICT DO NOTHING",
            names.collect::<Vec<_>>().join(", "),
            "0, ".repeat(zero.len()),
            kind.list(1..common + 1),
            kind.rows(common + 1, rows, own),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::store::fixture::on_both_databases;
    use crate::store::{Store, is_refusal};

    static INSERT: LazyLock<Insert> = LazyLock::new(|| {
        Insert::new(&Columns {
            table: "usage",
            zero: &["items"],
            alike: &["room"],
            place: &["bytes"],
            own: &["tenant"],
        })
    });

    struct Room(&'static str);

    /// A tenant, and how many bytes.
    type Row = (Option<String>, i64);

    impl Bind<Row> for Room {
        fn alike(&self, values: &mut AnyArguments) -> Result<(), BoxDynError> {
            values.add(self.0.to_owned())
        }

        fn is_one(&self, row: &Row, other: &Row) -> bool {
            row.1 == other.1
        }

        fn place(&self, row: &Row, values: &mut AnyArguments) -> Result<(), BoxDynError> {
            values.add(row.1)
        }

        fn own(&self, row: &Row, values: &mut AnyArguments) -> Result<(), BoxDynError> {
            values.add(row.0.clone())
        }
    }

    /// Rows of tenants by number.
    fn rows(tenants: std::ops::Range<usize>, bytes: impl Fn(usize) -> i64) -> Vec<Row> {
        tenants.map(|tenant| (Some(format!("{tenant:03}")), bytes(tenant))).collect()
    }

    /// Answers how many were new.
    async fn insert(store: &Store, rows: Vec<Row>) -> sqlx::Result<usize> {
        store
            .write("a", move |connection| {
                Box::pin(async move {
                    let new = INSERT.run(connection, &Room("storage"), &rows).await?;
                    Ok(new.into_iter().flatten().count())
                })
            })
            .await
    }

    async fn held(store: &Store) -> Vec<(String, String, i64, i64)> {
        let held: sqlx::Result<_> = store
            .read(|connection| {
                Box::pin(async move {
                    sqlx::query_as("SELECT tenant, room, items, bytes FROM usage ORDER BY tenant")
                        .fetch_all(connection)
                        .await
                })
            })
            .await;
        held.unwrap()
    }

    async fn rows_have_what_they_share_and_their_own(kind: Kind) {
        let store = Store::fresh(kind).await;
        assert_eq!(insert(&store, rows(0..70, |_| 5)).await.unwrap(), 70);
        assert_eq!(insert(&store, rows(70..90, |tenant| tenant as i64)).await.unwrap(), 20);
        let held = held(&store).await;
        assert_eq!(held.len(), 90);
        for (number, row) in held.into_iter().enumerate() {
            let bytes = if number < 70 { 5 } else { number as i64 };
            assert_eq!(row, (format!("{number:03}"), "storage".to_owned(), 0, bytes));
        }
    }

    async fn those_that_are_there_stay_as_they_are(kind: Kind) {
        let store = Store::fresh(kind).await;
        insert(&store, rows(0..4, |_| 5)).await.unwrap();
        assert_eq!(insert(&store, rows(0..4, |_| 6)).await.unwrap(), 0);
        let refusal = insert(&store, rows(2..6, |_| 7)).await.unwrap_err();
        assert!(is_refusal(&refusal), "each by itself is taken: {refusal}");
        assert_eq!(insert(&store, rows(5..6, |_| 7)).await.unwrap(), 1);
        let bytes: Vec<i64> = held(&store).await.into_iter().map(|(.., bytes)| bytes).collect();
        assert_eq!(bytes, [5, 5, 5, 5, 7]);
    }

    /// SQLite does not undo the statement by itself.
    async fn where_one_row_is_refused_none_is_left(kind: Kind) {
        let store = Store::fresh(kind).await;
        let mut with_a_bad_one = rows(0..64, |_| 5);
        with_a_bad_one[40].0 = None;
        let refusal = insert(&store, with_a_bad_one).await.unwrap_err();
        assert!(is_refusal(&refusal), "{refusal}");
        assert_eq!(held(&store).await, []);
        assert_eq!(insert(&store, rows(0..64, |_| 5)).await.unwrap(), 64, "others go on");
    }

    on_both_databases!(
        rows_have_what_they_share_and_their_own,
        those_that_are_there_stay_as_they_are,
        where_one_row_is_refused_none_is_left,
    );
}
