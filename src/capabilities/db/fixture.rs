//! What the tests of both databases ask with.

use crate::runtime::bindings::airlock::script::db::{Filter, Find, Operator, Order, Value};

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub fn filter(column: &str, operator: Operator, values: &[Value]) -> Filter {
    Filter { column: column.to_owned(), operator, values: values.to_vec() }
}

pub fn find(filters: Vec<Filter>) -> Find {
    Find {
        table: "clients".to_owned(),
        columns: vec!["id".to_owned()],
        filters,
        order: vec![Order { column: "id".to_owned(), descending: false }],
        limit: None,
        offset: None,
    }
}
