//! Statements about many rows: few texts to prepare, and few round trips.

use super::Kind;

/// The numbers of rows that there is a text for. Few have to be prepared, and most
/// batches take a few statements.
const SIZES: [usize; 4] = [MOST, 16, 4, 1];
/// Rows of one statement.
pub const MOST: usize = 64;

/// A statement, as a text for each of a few numbers of rows, for both databases.
pub struct Statements([Text; SIZES.len()]);

struct Text {
    rows: usize,
    sqlite: String,
    postgres: String,
}

impl Text {
    fn of(&self, kind: Kind) -> &str {
        match kind {
            Kind::Sqlite => &self.sqlite,
            Kind::Postgres => &self.postgres,
        }
    }
}

impl Statements {
    /// `text` makes the one for so many rows.
    pub fn new(text: impl Fn(usize, Kind) -> String) -> Statements {
        Statements(SIZES.map(|rows| Text {
            rows,
            sqlite: text(rows, Kind::Sqlite),
            postgres: text(rows, Kind::Postgres),
        }))
    }

    /// All of the rows in parts, each with the text for as many.
    pub fn split<'r, T>(&self, kind: Kind, rows: &'r [T]) -> impl Iterator<Item = (&str, &'r [T])> + use<'_, 'r, T> {
        let mut rest = rows;
        std::iter::from_fn(move || {
            let text = self.0.iter().find(|text| text.rows <= rest.len())?;
            let (part, more) = rest.split_at_checked(text.rows)?;
            rest = more;
            Some((text.of(kind), part))
        })
    }

    /// The text for at least so many rows, and for how many. The largest, where
    /// there is none for as many.
    pub fn for_all(&self, kind: Kind, rows: usize) -> (&str, usize) {
        let [largest, ..] = &self.0;
        let text = self.0.iter().rfind(|text| text.rows >= rows).unwrap_or(largest);
        (text.of(kind), text.rows)
    }

    /// The text for one row.
    pub fn one(&self, kind: Kind) -> &str {
        let [.., text] = &self.0;
        text.of(kind)
    }
}

/// Why what a statement did is to be undone: the rows that it was about are not of
/// one kind, and which are of which it did not say.
#[derive(Debug, thiserror::Error)]
#[error("of {wanted} rows, a statement met {met}: each is to be tried by itself")]
pub struct Partly {
    wanted: usize,
    met: u64,
}

/// Whether a statement changed all the rows that it was about, or none of them.
///
/// To have the rows named by RETURNING costs more than to change them: from SQLite,
/// each comes by itself out of another thread.
///
/// # Errors
///
/// Where it was some of them: a refusal, as [`is_refusal`](super::is_refusal) has
/// it. Never of one row.
pub fn all_or_none(met: u64, wanted: usize) -> sqlx::Result<bool> {
    match met {
        0 => Ok(false),
        met if met == wanted as u64 => Ok(true),
        met => Err(sqlx::Error::AnyDriverError(Box::new(Partly { wanted, met }))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_as_few_parts_as_there_are_texts_for() {
        let statements = Statements::new(|rows, kind| format!("{rows} {kind:?}"));
        let rows: Vec<usize> = (0..102).collect();
        let parts: Vec<_> = statements.split(Kind::Postgres, &rows).collect();
        let expected: [(&str, &[usize]); 6] = [
            ("64 Postgres", &rows[..64]),
            ("16 Postgres", &rows[64..80]),
            ("16 Postgres", &rows[80..96]),
            ("4 Postgres", &rows[96..100]),
            ("1 Postgres", &[100]),
            ("1 Postgres", &[101]),
        ];
        assert_eq!(parts, expected);
        assert_eq!(statements.split(Kind::Sqlite, &rows[..0]).count(), 0);
        assert_eq!(statements.one(Kind::Sqlite), "1 Sqlite");
        let for_all = [1, 2, 4, 5, 17, 64, 65].map(|rows| statements.for_all(Kind::Postgres, rows).1);
        assert_eq!(for_all, [1, 4, 4, 16, 64, 64, 64]);
        assert_eq!(Kind::Postgres.list(2..5), "$2, $3, $4");
    }

    #[test]
    fn some_of_many_is_a_refusal() {
        for (met, wanted, expected) in
            [(0, 1, Some(false)), (1, 1, Some(true)), (0, 64, Some(false)), (64, 64, Some(true)), (1, 64, None)]
        {
            let answered = all_or_none(met, wanted);
            assert_eq!(
                answered.as_ref().err().is_some_and(crate::store::is_refusal),
                expected.is_none(),
                "{met} {wanted}"
            );
            assert_eq!(answered.ok(), expected, "{met} of {wanted}");
        }
    }
}
