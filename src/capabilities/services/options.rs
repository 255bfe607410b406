//! What `list` and `count` take: `{ filters, order, limit, offset, fields }`.
//!
//! | option | is |
//! |---|---|
//! | `filters` | `[{ field, operator, value }]`, all of which must hold, or `{ field: value }`; `operator` is `eq` where it is missing |
//! | `order` | `"name"`, `"-name"` for descending, `{ field, direction }`, or an array of these |
//! | `limit` | rows at most; 100 where it is missing |
//! | `offset` | rows to leave out first |
//! | `fields` | the columns to read; all where it is missing |

use serde_json::{Map, Value as Json};

use super::json::value;
use crate::capabilities::grant::shown;
use crate::runtime::bindings::airlock::script::db::{Filter, Operator, Order, Value};
use crate::runtime::failure::Failure;
use crate::spelling::closest;

/// Rows that `list` answers where no limit is given.
const LIMIT: u64 = 100;

/// The options, read.
#[derive(Debug)]
pub struct Options {
    pub filters: Vec<Filter>,
    pub order: Vec<Order>,
    pub limit: u64,
    pub offset: Option<u64>,
    pub fields: Vec<String>,
}

/// Reads the options of `method`, of which it knows those named.
pub fn read(method: &str, given: Option<Json>, known: &[&str]) -> Result<Options, Failure> {
    let mut options =
        Options { filters: Vec::new(), order: Vec::new(), limit: LIMIT, offset: None, fields: Vec::new() };
    for (name, given) in object(method, given)? {
        if !known.contains(&name.as_str()) {
            return Err(unknown(method, "option", &name, known));
        }
        match (name.as_str(), given) {
            // As if it were not there: what JavaScript makes of undefined.
            (_, Json::Null) => {}
            ("filters", given) => options.filters = filters(given)?,
            ("order", Json::Array(several)) => {
                options.order = several.into_iter().map(order).collect::<Result<_, _>>()?;
            }
            ("order", one) => options.order.push(order(one)?),
            ("limit", given) => options.limit = whole("limit", &given)?,
            ("offset", given) => options.offset = Some(whole("offset", &given)?),
            (_, Json::Array(fields)) => {
                options.fields = fields.into_iter().map(|field| text("fields", field)).collect::<Result<_, _>>()?;
            }
            _ => return Err(Failure::argument("fields is an array of column names")),
        }
    }
    Ok(options)
}

fn object(what: &str, given: Option<Json>) -> Result<Map<String, Json>, Failure> {
    match given {
        None | Some(Json::Null) => Ok(Map::new()),
        Some(Json::Object(object)) => Ok(object),
        Some(_) => Err(Failure::argument(format!("{what} takes an object of options"))),
    }
}

fn filters(given: Json) -> Result<Vec<Filter>, Failure> {
    match given {
        Json::Array(filters) => filters.into_iter().map(filter).collect(),
        Json::Object(fields) => Ok(fields
            .into_iter()
            .map(|(column, given)| Filter { column, operator: Operator::Eq, values: vec![value(given)] })
            .collect()),
        _ => Err(Failure::argument("filters is an array of { field, operator, value }")),
    }
}

fn filter(given: Json) -> Result<Filter, Failure> {
    let Json::Object(given) = given else {
        return Err(Failure::argument("a filter is an object { field, operator, value }"));
    };
    let (mut column, mut word, mut compared) = (None, None, None);
    for (name, given) in given {
        match name.as_str() {
            "field" => column = Some(text("field", given)?),
            "operator" => word = Some(text("operator", given)?),
            "value" => compared = Some(given),
            _ => return Err(unknown("a filter", "member", &name, &["field", "operator", "value"])),
        }
    }
    let Some(column) = column else {
        return Err(Failure::argument("a filter needs a field: { field, operator, value }"));
    };
    let word = word.unwrap_or_else(|| "eq".to_owned());
    if word == "is_null" {
        let operator = match compared {
            None | Some(Json::Bool(true)) => Operator::Eq,
            Some(Json::Bool(false)) => Operator::Ne,
            _ => return Err(Failure::argument("is_null takes true or false")),
        };
        return Ok(Filter { column, operator, values: vec![Value::Null] });
    }
    let operator = operator(&word)?;
    let Some(compared) = compared else {
        // JSON leaves an undefined member out. Taking it for null would match
        // rows that were never meant.
        return Err(Failure::argument(format!("the filter on `{}` has no value, or an undefined one", shown(&column))));
    };
    let values = match (operator, compared) {
        (Operator::In | Operator::NotIn, Json::Array(several)) => several.into_iter().map(value).collect(),
        (Operator::In | Operator::NotIn, _) => {
            return Err(Failure::argument(format!("the filter on `{}` takes an array for {word}", shown(&column))));
        }
        (_, Json::Array(_) | Json::Object(_)) => {
            return Err(Failure::argument(format!(
                "the filter on `{}` takes one value; `in` takes an array",
                shown(&column)
            )));
        }
        (_, one) => vec![value(one)],
    };
    Ok(Filter { column, operator, values })
}

fn operator(word: &str) -> Result<Operator, Failure> {
    Ok(match word {
        "eq" | "=" | "==" => Operator::Eq,
        "ne" | "!=" | "<>" => Operator::Ne,
        "lt" | "<" => Operator::Lt,
        "lte" | "<=" => Operator::Lte,
        "gt" | ">" => Operator::Gt,
        "gte" | ">=" => Operator::Gte,
        "in" => Operator::In,
        "not_in" | "nin" => Operator::NotIn,
        "like" => Operator::Like,
        "contains" => Operator::Contains,
        "starts_with" => Operator::StartsWith,
        _ => {
            let known =
                ["eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "like", "contains", "starts_with", "is_null"];
            return Err(Failure::argument(format!(
                "`{}` is not an operator; there are: {}",
                shown(word),
                known.join(", ")
            )));
        }
    })
}

fn order(given: Json) -> Result<Order, Failure> {
    let mistaken = || Failure::argument("order is 'name', '-name', { field, direction }, or an array of these");
    match given {
        Json::String(column) => Ok(match column.strip_prefix('-') {
            Some(column) => Order { column: column.to_owned(), descending: true },
            None => Order { column, descending: false },
        }),
        Json::Object(given) => {
            let (mut column, mut descending) = (None, false);
            for (name, given) in given {
                match (name.as_str(), given) {
                    ("field", Json::String(field)) => column = Some(field),
                    ("direction", Json::String(direction)) if direction.eq_ignore_ascii_case("asc") => {}
                    ("direction", Json::String(direction)) if direction.eq_ignore_ascii_case("desc") => {
                        descending = true;
                    }
                    ("direction", _) => return Err(Failure::argument("direction is 'asc' or 'desc'")),
                    ("field", _) => return Err(mistaken()),
                    _ => return Err(unknown("order", "member", &name, &["field", "direction"])),
                }
            }
            Ok(Order { column: column.ok_or_else(mistaken)?, descending })
        }
        _ => Err(mistaken()),
    }
}

/// A whole number, also where JSON wrote it as `10.0`.
fn whole(name: &str, given: &Json) -> Result<u64, Failure> {
    let float = || given.as_f64().filter(|number| number.fract() == 0.0 && (0.0..9e15).contains(number));
    given
        .as_u64()
        .or_else(|| float().map(|number| number as u64))
        .ok_or_else(|| Failure::argument(format!("{name} is a whole number, 0 or more")))
}

fn text(name: &str, given: Json) -> Result<String, Failure> {
    match given {
        Json::String(text) => Ok(text),
        _ => Err(Failure::argument(format!("{name} is a text"))),
    }
}

fn unknown(owner: &str, kind: &str, name: &str, known: &[&str]) -> Failure {
    let hint = closest(name, known).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    Failure::argument(format!("{owner} has no {kind} `{}`{hint} (there are: {})", shown(name), known.join(", ")))
}
