mod catalog;
pub mod text;
pub mod values;

use super::Statement;
use crate::runtime::bindings::airlock::script::db::Outcome;
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;
use std::sync::Arc;
#[derive(Clone)]
pub struct Process;
#[derive(Clone)]
pub struct Transaction;
impl Process {
    pub async fn run(&self, _tenant: &str, _limits: &Arc<Limits>, _statement: Statement) -> Result<Outcome, Failure> {
        Err(Failure::new("x", "x"))
    }
    pub async fn begin(&self, _tenant: &str, _limits: &Arc<Limits>) -> Result<Transaction, Failure> {
        Err(Failure::new("x", "x"))
    }
}
impl Transaction {
    pub async fn run(&self, _statement: Statement) -> Result<Outcome, Failure> {
        Err(Failure::new("x", "x"))
    }
    pub async fn end(self, _commit: bool) -> Result<(), Failure> {
        Err(Failure::new("x", "x"))
    }
}
