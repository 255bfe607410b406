//! `airlock:script/db`, as WIT declares it.

use std::sync::Arc;

use super::error::ended;
use super::{Access, Statement, Transaction};
use crate::runtime::bindings::airlock::script::db::{Assignment, Filter, Find, Host, Outcome, Value};
use crate::runtime::call::Call;
use crate::runtime::failure::Failure;
use crate::runtime::operations::Ticket;

impl Call {
    /// What this call may do with tables.
    pub fn access(&self) -> Access {
        let tables = Arc::clone(&self.process.tables);
        Access::new(Arc::clone(&self.identity), Arc::clone(&self.grant), tables)
    }

    /// Refuses a script that was granted no table at all: even a transaction
    /// that does nothing keeps others waiting.
    fn granted_tables(&self) -> Result<(), Failure> {
        self.grant.db.check(|_| true, || ("the database".to_owned(), "TABLE (read)".to_owned()))
    }

    /// Begins a statement, in a transaction of this call or by itself.
    fn start_on_database(&mut self, transaction: Option<u32>, statement: Result<Statement, Failure>) -> Ticket {
        let statement = match self.granted_tables().and(statement) {
            Ok(statement) => statement,
            Err(failure) => return self.refuse::<Outcome>(failure),
        };
        match transaction {
            Some(id) => match self.held.db.transactions.get(&id).cloned() {
                Some(transaction) => self.start("db.query", async move { transaction.run(statement).await }),
                None => self.refuse::<Outcome>(ended()),
            },
            None => {
                let (db, access, limits) = (self.process.db.clone(), self.access(), Arc::clone(&self.limits));
                self.start("db.query", async move { db.run(&access, &limits, statement).await })
            }
        }
    }
}

impl Host for Call {
    fn start_statement(
        &mut self,
        transaction: Option<u32>,
        sql: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Ticket> {
        let statement = Statement::script(sql, parameters, &self.limits);
        Ok(self.start_on_database(transaction, statement))
    }

    fn start_find(&mut self, transaction: Option<u32>, find: Find) -> wasmtime::Result<Ticket> {
        let statement = Statement::find(find, &self.limits);
        Ok(self.start_on_database(transaction, statement))
    }

    fn start_insert(
        &mut self,
        transaction: Option<u32>,
        table: String,
        row: Vec<Assignment>,
    ) -> wasmtime::Result<Ticket> {
        let statement = Statement::insert(&table, row, &self.limits);
        Ok(self.start_on_database(transaction, statement))
    }

    fn start_update(
        &mut self,
        transaction: Option<u32>,
        table: String,
        filters: Vec<Filter>,
        row: Vec<Assignment>,
    ) -> wasmtime::Result<Ticket> {
        let statement = Statement::update(&table, filters, row, false, &self.limits);
        Ok(self.start_on_database(transaction, statement))
    }

    fn start_delete(
        &mut self,
        transaction: Option<u32>,
        table: String,
        filters: Vec<Filter>,
    ) -> wasmtime::Result<Ticket> {
        let statement = Statement::delete(&table, filters, &self.limits);
        Ok(self.start_on_database(transaction, statement))
    }

    fn take(&mut self, ticket: Ticket) -> wasmtime::Result<Result<Outcome, Failure>> {
        self.take::<Outcome>(ticket)
    }

    fn start_begin(&mut self) -> wasmtime::Result<Ticket> {
        if let Err(failure) = self.granted_tables() {
            return Ok(self.refuse::<Transaction>(failure));
        }
        let (db, access, limits) = (self.process.db.clone(), self.access(), Arc::clone(&self.limits));
        Ok(self.start("db.begin", async move { db.begin(&access, &limits).await }))
    }

    fn take_begin(&mut self, ticket: Ticket) -> wasmtime::Result<Result<u32, Failure>> {
        Ok(self.take::<Transaction>(ticket)?.map(|transaction| self.held.db.hold(transaction)))
    }

    fn start_end(&mut self, transaction: u32, commit: bool) -> wasmtime::Result<Ticket> {
        Ok(match self.held.db.transactions.remove(&transaction) {
            Some(transaction) => self.start("db.end", async move { transaction.end(commit).await }),
            None => self.refuse::<()>(ended()),
        })
    }

    fn take_end(&mut self, ticket: Ticket) -> wasmtime::Result<Result<(), Failure>> {
        self.take::<()>(ticket)
    }
}

impl super::Held {
    /// Names a transaction towards the script.
    fn hold(&mut self, transaction: Transaction) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.transactions.insert(self.last, transaction);
        self.last
    }
}
