//! `db`.

use javy::quickjs::{
    Array, BigInt, Ctx, Error, Exception, Function, IntoJs, Null, Object, Promise, Result, TypedArray, Value,
};

use crate::airlock::script::db::{self, Assignment, Filter, Find, Operator, Order, Outcome};
use crate::airlock::script::types::Failure;
use crate::{errors, tasks, utils};

/// The largest integer that a JavaScript number holds exactly.
const MAX_SAFE: i64 = (1 << 53) - 1;

type Taken<'js> = Result<std::result::Result<Value<'js>, Failure>>;

/// A database value in JavaScript. Integers beyond 2^53 become a BigInt.
fn to_js<'js>(ctx: &Ctx<'js>, value: db::Value) -> Result<Value<'js>> {
    match value {
        db::Value::Null => Null.into_js(ctx),
        db::Value::Boolean(value) => value.into_js(ctx),
        db::Value::Integer(value) if (-MAX_SAFE..=MAX_SAFE).contains(&value) => {
            if let Ok(small) = i32::try_from(value) { small.into_js(ctx) } else { (value as f64).into_js(ctx) }
        }
        db::Value::Integer(value) => BigInt::from_i64(ctx.clone(), value)?.into_js(ctx),
        db::Value::Real(value) => value.into_js(ctx),
        db::Value::Text(value) => value.into_js(ctx),
        db::Value::Blob(value) => TypedArray::<u8>::new(ctx.clone(), value)?.into_js(ctx),
        db::Value::Json(value) => ctx.json_parse(value),
    }
}

/// A JavaScript value for the database. `db.js` has made text of dates and JSON
/// text of objects, in a pair with its kind.
fn from_js<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Result<db::Value> {
    if value.is_null() || value.is_undefined() {
        return Ok(db::Value::Null);
    }
    if let Some(value) = value.as_bool() {
        return Ok(db::Value::Boolean(value));
    }
    if let Some(value) = value.as_int() {
        return Ok(db::Value::Integer(i64::from(value)));
    }
    if let Some(value) = value.as_float() {
        // A number without a fraction is an integer to SQL, as long as it is exact.
        if value.fract() == 0.0 && value.abs() <= MAX_SAFE as f64 {
            return Ok(db::Value::Integer(value as i64));
        }
        return Ok(db::Value::Real(value));
    }
    if let Some(text) = value.as_string() {
        return Ok(db::Value::Text(text.to_string()?));
    }
    if let Some(integer) = value.as_big_int() {
        let text: String = value.get::<javy::quickjs::Coerced<String>>()?.0;
        let _ = integer;
        return text
            .parse()
            .map(db::Value::Integer)
            .map_err(|_| Exception::throw_range(ctx, &format!("{text}n is beyond a 64-bit integer; pass it as text")));
    }
    if let Some(pair) = value.as_array() {
        return Ok(db::Value::Json(pair.get::<String>(0)?));
    }
    Ok(db::Value::Blob(utils::bytes_of(ctx, value, "a value")?))
}

fn list_from_js<'js>(ctx: &Ctx<'js>, values: &Array<'js>) -> Result<Vec<db::Value>> {
    values.iter::<Value>().map(|value| from_js(ctx, &value?)).collect()
}

fn row<'js>(ctx: &Ctx<'js>, columns: &[String], values: &mut impl Iterator<Item = db::Value>) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    for column in columns {
        if let Some(value) = values.next() {
            object.set(column.as_str(), to_js(ctx, value)?)?;
        }
    }
    Ok(object)
}

fn rows<'js>(ctx: &Ctx<'js>, outcome: Outcome) -> Result<Value<'js>> {
    let array = Array::new(ctx.clone())?;
    if !outcome.columns.is_empty() {
        let count = outcome.values.len() / outcome.columns.len();
        let mut values = outcome.values.into_iter();
        for index in 0..count {
            array.set(index, row(ctx, &outcome.columns, &mut values)?)?;
        }
    }
    Ok(array.into_value())
}

fn take_with<'js>(ticket: u32, shape: impl FnOnce(Outcome) -> Result<Value<'js>>) -> Taken<'js> {
    match db::take(ticket) {
        Ok(outcome) => Ok(Ok(shape(outcome)?)),
        Err(failure) => Ok(Err(failure)),
    }
}

fn take_rows<'js>(ctx: &Ctx<'js>, ticket: u32) -> Taken<'js> {
    take_with(ticket, |outcome| rows(ctx, outcome))
}

/// The first row, or null.
fn take_row<'js>(ctx: &Ctx<'js>, ticket: u32) -> Taken<'js> {
    take_with(ticket, |outcome| {
        if outcome.columns.is_empty() || outcome.values.is_empty() {
            return Null.into_js(ctx);
        }
        Ok(row(ctx, &outcome.columns, &mut outcome.values.into_iter())?.into_value())
    })
}

/// `{affected, lastInsertId, rows}`.
fn take_outcome<'js>(ctx: &Ctx<'js>, ticket: u32) -> Taken<'js> {
    take_with(ticket, |outcome| {
        let object = Object::new(ctx.clone())?;
        object.set("affected", outcome.affected as f64)?;
        match outcome.last_insert_id {
            Some(id) => object.set("lastInsertId", to_js(ctx, db::Value::Integer(id))?)?,
            None => object.set("lastInsertId", Null)?,
        }
        object.set("rows", rows(ctx, outcome)?)?;
        Ok(object.into_value())
    })
}

fn take_affected<'js>(ctx: &Ctx<'js>, ticket: u32) -> Taken<'js> {
    take_with(ticket, |outcome| (outcome.affected as f64).into_js(ctx))
}

fn take_begin<'js>(ctx: &Ctx<'js>, ticket: u32) -> Taken<'js> {
    match db::take_begin(ticket) {
        Ok(id) => Ok(Ok(id.into_js(ctx)?)),
        Err(failure) => Ok(Err(failure)),
    }
}

fn take_end<'js>(ctx: &Ctx<'js>, ticket: u32) -> Taken<'js> {
    Ok(db::take_end(ticket).map(|()| Value::new_undefined(ctx.clone())))
}

fn statement<'js>(
    ctx: Ctx<'js>,
    transaction: Option<u32>,
    sql: String,
    parameters: Array<'js>,
    shape: String,
) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "db")?;
    let ticket = db::start_statement(transaction, &sql, &list_from_js(&ctx, &parameters)?);
    let take = match shape.as_str() {
        "rows" => take_rows,
        "row" => take_row,
        _ => take_outcome,
    };
    tasks::promise(&ctx, ticket, take)
}

/// As `db.js` numbers them.
const OPERATORS: [Operator; 11] = [
    Operator::Eq,
    Operator::Ne,
    Operator::Lt,
    Operator::Lte,
    Operator::Gt,
    Operator::Gte,
    Operator::In,
    Operator::NotIn,
    Operator::Like,
    Operator::Contains,
    Operator::StartsWith,
];

/// From `[column, operator, how many values, value, …, column, …]`.
fn filters<'js>(ctx: &Ctx<'js>, from: &Array<'js>) -> Result<Vec<Filter>> {
    let mut filters = Vec::new();
    let mut index = 0;
    while index < from.len() {
        let column = from.get(index)?;
        let operator = OPERATORS.get(from.get::<usize>(index + 1)?).ok_or(Error::Unknown)?;
        let first = index + 3;
        index = first + from.get::<usize>(index + 2)?;
        let values = (first..index).map(|index| from_js(ctx, &from.get(index)?)).collect::<Result<_>>()?;
        filters.push(Filter { column, operator: *operator, values });
    }
    Ok(filters)
}

/// From `[column, value, column, …]`.
fn assignments<'js>(ctx: &Ctx<'js>, from: &Array<'js>) -> Result<Vec<Assignment>> {
    (0..from.len())
        .step_by(2)
        .map(|index| Ok(Assignment { column: from.get(index)?, value: from_js(ctx, &from.get(index + 1)?)? }))
        .collect()
}

/// `order` is `[column, whether it descends, column, …]`, `range` the limit and
/// the offset, as far as there are any.
fn find<'js>(
    ctx: &Ctx<'js>,
    table: String,
    from: &Array<'js>,
    columns: &Array<'js>,
    order: &Array<'js>,
    range: &Array<'js>,
) -> Result<Find> {
    let count =
        |index| -> Result<Option<u64>> { Ok(range.get::<Option<f64>>(index)?.map(|number| number.max(0.0) as u64)) };
    Ok(Find {
        table,
        columns: columns.iter().collect::<Result<_>>()?,
        filters: filters(ctx, from)?,
        order: (0..order.len())
            .step_by(2)
            .map(|index| Ok(Order { column: order.get(index)?, descending: order.get(index + 1)? }))
            .collect::<Result<_>>()?,
        limit: count(0)?,
        offset: count(1)?,
    })
}

fn find_one<'js>(
    ctx: Ctx<'js>,
    transaction: Option<u32>,
    table: String,
    filters: Array<'js>,
    columns: Array<'js>,
    order: Array<'js>,
    range: Array<'js>,
) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "db.findOne")?;
    let find = Find { limit: Some(1), ..find(&ctx, table, &filters, &columns, &order, &range)? };
    tasks::promise(&ctx, db::start_find(transaction, &find), take_row)
}

fn find_many<'js>(
    ctx: Ctx<'js>,
    transaction: Option<u32>,
    table: String,
    filters: Array<'js>,
    columns: Array<'js>,
    order: Array<'js>,
    range: Array<'js>,
) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "db.findMany")?;
    let find = find(&ctx, table, &filters, &columns, &order, &range)?;
    tasks::promise(&ctx, db::start_find(transaction, &find), take_rows)
}

fn insert<'js>(ctx: Ctx<'js>, transaction: Option<u32>, table: String, row: Array<'js>) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "db.insert")?;
    let ticket = db::start_insert(transaction, &table, &assignments(&ctx, &row)?);
    tasks::promise(&ctx, ticket, take_row)
}

fn update<'js>(
    ctx: Ctx<'js>,
    transaction: Option<u32>,
    table: String,
    from: Array<'js>,
    row: Array<'js>,
) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "db.update")?;
    let ticket = db::start_update(transaction, &table, &filters(&ctx, &from)?, &assignments(&ctx, &row)?);
    tasks::promise(&ctx, ticket, take_affected)
}

fn delete<'js>(ctx: Ctx<'js>, transaction: Option<u32>, table: String, from: Array<'js>) -> Result<Promise<'js>> {
    errors::require_call(&ctx, "db.delete")?;
    let ticket = db::start_delete(transaction, &table, &filters(&ctx, &from)?);
    tasks::promise(&ctx, ticket, take_affected)
}

fn begin(ctx: Ctx<'_>) -> Result<Promise<'_>> {
    errors::require_call(&ctx, "db.transaction")?;
    tasks::promise(&ctx, db::start_begin(), take_begin)
}

fn end(ctx: Ctx<'_>, transaction: u32, commit: bool) -> Result<Promise<'_>> {
    errors::require_call(&ctx, "db.transaction")?;
    tasks::promise(&ctx, db::start_end(transaction, commit), take_end)
}

pub fn register<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    native.set("statement", Function::new(ctx.clone(), statement)?)?;
    native.set("findOne", Function::new(ctx.clone(), find_one)?)?;
    native.set("findMany", Function::new(ctx.clone(), find_many)?)?;
    native.set("insert", Function::new(ctx.clone(), insert)?)?;
    native.set("update", Function::new(ctx.clone(), update)?)?;
    native.set("delete", Function::new(ctx.clone(), delete)?)?;
    native.set("begin", Function::new(ctx.clone(), begin)?)?;
    native.set("end", Function::new(ctx.clone(), end)?)
}
