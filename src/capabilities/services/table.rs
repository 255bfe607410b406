//! A service made of a table of the tenant.
//!
//! | method | answers |
//! |---|---|
//! | `list({ filters, order, limit, offset, fields })` | an array of rows, see [`options`](super::options) |
//! | `count({ filters })` | a number |
//! | `get(id)` | the row or null |
//! | `create(row)` | the row as it was written |
//! | `update(id, changes)` | the row as it was written, or null |
//! | `delete(id)` | whether there was one |

use std::sync::Arc;

use serde_json::Value as Json;

use super::json::{rows, value};
use super::{options, unknown_method};
use crate::capabilities::db::{self, Access, Statement};
use crate::runtime::bindings::airlock::script::db::{Assignment, Filter, Find, Operator, Value};
use crate::runtime::failure::Failure;
use crate::runtime::limits::Limits;

const METHODS: &[&str] = &["list", "count", "get", "create", "update", "delete"];

/// Which table, and how its rows are found.
pub struct Table {
    pub service: String,
    pub table: String,
    pub key: String,
}

impl Table {
    /// Calls a method with its arguments.
    pub async fn call(
        &self,
        db: &db::Process,
        access: &Access,
        limits: &Arc<Limits>,
        method: &str,
        arguments: Vec<Json>,
    ) -> Result<Json, Failure> {
        let mut arguments = arguments.into_iter();
        let first = arguments.next();
        let run = async |statement: Statement| db.run(access, limits, statement).await;
        match method {
            "list" => {
                let known = ["filters", "order", "limit", "offset", "fields"];
                let options = options::read("list", first, &known)?;
                let find = Find {
                    table: self.table.clone(),
                    columns: options.fields,
                    filters: options.filters,
                    order: options.order,
                    limit: Some(options.limit),
                    offset: options.offset,
                };
                Ok(Json::Array(rows(run(Statement::find(find, limits)?).await?)))
            }
            "count" => {
                let options = options::read("count", first, &["filters"])?;
                let counted = run(Statement::count(&self.table, options.filters, limits)?).await?;
                let row = rows(counted).into_iter().next();
                Ok(row.and_then(|mut row| row.get_mut("count").map(Json::take)).unwrap_or(Json::Null))
            }
            "get" => {
                let filters = self.key(method, first)?;
                self.get(run, filters, limits).await
            }
            "create" => {
                let row = self.row(method, first)?;
                let written = run(Statement::insert(&self.table, row, limits)?).await?;
                Ok(rows(written).into_iter().next().unwrap_or(Json::Null))
            }
            "update" => {
                let filters = self.key(method, first)?;
                let changes = self.row(method, arguments.next())?;
                if changes.is_empty() {
                    return self.get(run, filters, limits).await;
                }
                let written = run(Statement::update(&self.table, filters, changes, true, limits)?).await?;
                Ok(rows(written).into_iter().next().unwrap_or(Json::Null))
            }
            "delete" => {
                let filters = self.key(method, first)?;
                let deleted = run(Statement::delete(&self.table, filters, limits)?).await?;
                Ok(Json::Bool(deleted.affected > 0))
            }
            _ => Err(unknown_method(&self.service, method, METHODS)),
        }
    }

    async fn get(
        &self,
        run: impl AsyncFnOnce(Statement) -> Result<crate::runtime::bindings::airlock::script::db::Outcome, Failure>,
        filters: Vec<Filter>,
        limits: &Limits,
    ) -> Result<Json, Failure> {
        let find = Find {
            table: self.table.clone(),
            columns: Vec::new(),
            filters,
            order: Vec::new(),
            limit: Some(1),
            offset: None,
        };
        Ok(rows(run(Statement::find(find, limits)?).await?).into_iter().next().unwrap_or(Json::Null))
    }

    /// The filter that finds the row of an id.
    fn key(&self, method: &str, id: Option<Json>) -> Result<Vec<Filter>, Failure> {
        let id = id.unwrap_or(Json::Null);
        let given = match id {
            Json::String(_) | Json::Number(_) => {
                let values: Vec<Value> = vec![value(id)];
                return Ok(vec![Filter { column: self.key.clone(), operator: Operator::Eq, values }]);
            }
            Json::Null => "null or undefined",
            Json::Bool(_) => "a boolean",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        };
        Err(Failure::argument(format!(
            "services.{}.{method} needs the {} of a row, a text or a number, and was given {given}",
            self.service, self.key
        )))
    }

    fn row(&self, method: &str, given: Option<Json>) -> Result<Vec<Assignment>, Failure> {
        match given {
            Some(Json::Object(row)) => {
                Ok(row.into_iter().map(|(column, given)| Assignment { column, value: value(given) }).collect())
            }
            _ => Err(Failure::argument(format!(
                "services.{}.{method} needs an object of columns and their values",
                self.service
            ))),
        }
    }
}
