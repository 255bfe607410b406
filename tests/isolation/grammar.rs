//! Random statements over the tables of [`super::db`], most of which both
//! databases take. The same seed makes the same statements.

/// What no tenant may call, put where a number may stand.
const FORBIDDEN: [&str; 6] = [
    "length(set_config('airlock.tenant', 'x', false))",
    "length(current_setting('airlock.tenant', true))",
    "pg_backend_pid()",
    "length(load_extension('x'))",
    "pg_relation_size('clients')",
    "(SELECT count(*) FROM sqlite_master)",
];

pub struct Grammar(u64);

impl Grammar {
    pub fn new(seed: u64) -> Grammar {
        Grammar(seed.max(1))
    }

    /// Xorshift (Marsaglia 2003).
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    fn pick(&mut self, from: &[&str]) -> String {
        from[self.below(from.len())].to_owned()
    }

    pub fn statement(&mut self) -> String {
        // The names of a table's columns for a text and a number.
        let (table, word, number) = [("clients", "email", "balance"), ("orders", "note", "total")][self.below(2)];
        let returning = self.pick(&["", " RETURNING *", " RETURNING tenant_id, id"]);
        match self.below(10) {
            0 => {
                let tenant = self.pick(&["'acme'", "'globex'", "NULL", "'nobody'"]);
                let id = self.pick(&["1", "7001", "7101", "9001"]);
                let conflict = self.pick(&[
                    "",
                    " ON CONFLICT DO NOTHING",
                    " ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = 'globex'",
                    " ON CONFLICT (id) DO NOTHING",
                ]);
                format!("INSERT INTO {table} (tenant_id, id, {word}) VALUES ({tenant}, {id}, 'x'){conflict}{returning}")
            }
            1 => {
                let query = self.query(1);
                format!("INSERT INTO {table} (tenant_id, id, {word}, {number}) {query}{returning}")
            }
            2 => {
                let set = self.pick(&["tenant_id = 'globex'", "id = 7001", "tenant_id = 'acme'"]);
                let (value, condition) = (self.subquery(), self.exists());
                let set = if self.below(2) == 0 { set } else { format!("{number} = {value}") };
                format!("UPDATE {table} SET {set} WHERE {condition}{returning}")
            }
            3 => {
                let condition = self.exists();
                format!("DELETE FROM {table} WHERE {condition}{returning}")
            }
            4 => {
                let (inner, outer) = (self.query(2), self.pick(&["clients", "q"]));
                format!("WITH q AS ({inner}) SELECT * FROM {outer}, q AS other")
            }
            _ => self.query(3),
        }
    }

    /// Rows of a tenant's id, an id, a text and a number.
    fn query(&mut self, depth: usize) -> String {
        let (a, condition) = (self.source(depth), self.condition("a"));
        match self.below(if depth == 0 { 1 } else { 6 }) {
            0 => format!("SELECT a.tenant_id, a.id, a.word, a.number FROM {a} a WHERE {condition}"),
            1 => {
                let (b, join) = (self.source(depth - 1), self.pick(&["JOIN", "LEFT JOIN"]));
                let on = self.pick(&["a.id = b.id", "a.tenant_id <> b.tenant_id", "a.number >= b.number", "1 = 1"]);
                format!("SELECT b.tenant_id, a.id, b.word, a.number FROM {a} a {join} {b} b ON {on} WHERE {condition}")
            }
            2 => format!(
                "SELECT a.tenant_id, count(*) AS id, max(a.word) AS word, max(a.number) AS number FROM {a} a WHERE {condition} GROUP BY a.tenant_id"
            ),
            3 => format!(
                "SELECT a.tenant_id, rank() OVER (ORDER BY a.id) AS id, a.word, \
                 count(*) OVER (PARTITION BY a.tenant_id) AS number \
                 FROM {a} a WHERE {condition}"
            ),
            4 => {
                let (set, other) = (self.pick(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]), self.query(depth - 1));
                format!("SELECT a.tenant_id, a.id, a.word, a.number FROM {a} a {set} {other}")
            }
            _ => {
                let value = self.subquery();
                format!(
                    "SELECT a.tenant_id, a.id, upper(a.word) AS word, {value} AS number FROM {a} a WHERE {condition}"
                )
            }
        }
    }

    fn source(&mut self, depth: usize) -> String {
        if depth > 1 && self.below(3) == 0 {
            let inner = self.query(depth - 1);
            return format!("({inner})");
        }
        self.pick(&[
            "(SELECT tenant_id, id, email AS word, balance AS number FROM clients)",
            "(SELECT tenant_id, id, note AS word, total AS number FROM orders)",
            "(SELECT tenant_id, id, email AS word, balance AS number FROM clients UNION ALL SELECT tenant_id, client_id, note, total FROM orders)",
        ])
    }

    fn condition(&mut self, of: &str) -> String {
        match self.below(8) {
            0 => format!("{of}.tenant_id = 'globex'"),
            1 => format!("{of}.tenant_id <> 'acme'"),
            2 => format!("{of}.id > 5"),
            3 => format!("{of}.number > {}", self.subquery()),
            4 => format!("NOT ({})", self.exists()),
            5 => format!("({}) OR {of}.word LIKE '%e%'", self.condition(of)),
            6 => format!("{of}.id IN (SELECT client_id FROM orders WHERE tenant_id <> 'acme')"),
            _ => "1 = 1".to_owned(),
        }
    }

    fn exists(&mut self) -> String {
        let tenant = self.pick(&["<> 'acme'", "= 'globex'", "IS NOT NULL"]);
        let table = self.pick(&["clients", "orders"]);
        format!("EXISTS (SELECT 1 FROM {table} AS z WHERE z.tenant_id {tenant} AND z.id > {})", self.below(9000))
    }

    fn subquery(&mut self) -> String {
        if self.below(12) == 0 {
            return self.pick(&FORBIDDEN);
        }
        let aggregate =
            self.pick(&["count(*)", "sum(balance)", "max(id)", "min(length(email))", "count(DISTINCT tenant_id)"]);
        format!("(SELECT {aggregate} FROM clients AS y WHERE {})", self.pick(&["1 = 1", "y.tenant_id <> 'acme'"]))
    }
}
