//! Which events a script handles, and how.

use std::cell::OnceCell;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::KEY;
use super::filter::{self, Filter};
use crate::capabilities::events::Pattern;
use crate::hexadecimal;
use crate::settings::MAX_ATTEMPTS;
use crate::tenant::permission;

/// Names of events that one script handles.
const EVENTS: usize = 50;
const FILTERS: usize = 20;

/// What a script handles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Names such as `order.created` and `order.*`.
    #[schema(min_items = 1, max_items = 50)]
    pub events: Vec<String>,
    /// What an event's data must say, all of it.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub filters: Vec<Filter>,
    /// A member of the data, such as `order.id`: events with the same value in it
    /// are handled one after the other, in the order of publishing. A key that
    /// the publisher names comes before it.
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^.\u0000-\u001F\u007F-\u009F]+(\.[^.\u0000-\u001F\u007F-\u009F]+)*$")]
    pub ordered_by: Option<String>,
    /// How often the script is tried for one event at most. Null: as often as
    /// the host's settings say.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub attempts: Option<u32>,
}

impl Subscription {
    /// Says what is wrong, and where in it.
    pub fn check(&self) -> Result<(), (String, String)> {
        if !(1..=EVENTS).contains(&self.events.len()) {
            return Err(("events".into(), format!("Name 1 to {EVENTS} events, such as `order.created`.")));
        }
        for (index, name) in self.events.iter().enumerate() {
            let pattern = name.parse::<Pattern>();
            pattern.map_err(|reason| (format!("events[{index}]"), format!("This is no event: {reason}.")))?;
        }
        if self.filters.len() > FILTERS {
            return Err(("filters".into(), format!("A script has {FILTERS} filters at most.")));
        }
        for (index, filter) in self.filters.iter().enumerate() {
            filter.check().map_err(|(member, message)| (format!("filters[{index}].{member}"), message))?;
        }
        if self.ordered_by.as_ref().is_some_and(|field| !filter::is_path(field)) {
            let message = "Name a member of the event's data, such as `id` or `order.id`.";
            return Err(("ordered_by".into(), message.to_owned()));
        }
        if self.attempts.is_some_and(|attempts| !(1..=MAX_ATTEMPTS).contains(&u64::from(attempts))) {
            return Err(("attempts".into(), format!("This is a number from 1 to {MAX_ATTEMPTS}.")));
        }
        Ok(())
    }

    /// Whether the script is to handle an event.
    pub fn wants(&self, name: &str, data: &Data<'_>) -> bool {
        self.events.iter().any(|pattern| permission::covers(pattern, name))
            && (self.filters.is_empty() || self.filters.iter().all(|filter| filter.holds(data.value())))
    }

    /// What orders an event among those that the script handles. None: nothing.
    pub fn order_key(&self, data: &Data<'_>) -> Option<String> {
        let text = match filter::member(data.value(), self.ordered_by.as_deref()?) {
            Value::String(text) => text.clone(),
            Value::Null => return None,
            other => other.to_string(),
        };
        // A long one is as good by its digest.
        let is_key = (1..=KEY).contains(&text.len()) && !text.contains('\0');
        Some(if is_key { text } else { hexadecimal::encode(&Sha256::digest(text)) })
    }
}

/// An event's data, read once and only where somebody looks.
pub struct Data<'a> {
    text: &'a str,
    value: OnceCell<Value>,
}

impl<'a> Data<'a> {
    pub fn new(text: &'a str) -> Data<'a> {
        Data { text, value: OnceCell::new() }
    }

    /// Null where it is nested deeper than anybody looks.
    fn value(&self) -> &Value {
        self.value.get_or_init(|| serde_json::from_str(self.text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subscription(given: Value) -> Subscription {
        serde_json::from_value(given).unwrap()
    }

    #[test]
    fn a_script_wants_what_it_names_and_all_its_filters_hold_for() {
        let orders = subscription(json!({
            "events": ["order.*", "refund.made"],
            "filters": [{ "field": "total", "operator": "gte", "value": 100 }, { "field": "test", "operator": "is_null" }],
        }));
        for (name, data, wanted) in [
            ("order.created", r#"{"total": 100}"#, true),
            ("order.line.added", r#"{"total": 500}"#, true),
            ("refund.made", r#"{"total": 100}"#, true),
            ("refund.asked", r#"{"total": 100}"#, false),
            ("order.created", r#"{"total": 99}"#, false),
            ("order.created", r#"{"total": 100, "test": 1}"#, false),
            ("order.created", "7", false),
        ] {
            assert_eq!(orders.wants(name, &Data::new(data)), wanted, "{name} {data}");
        }
        let all = subscription(json!({ "events": ["*"] }));
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(all.wants("anything.at.all", &Data::new(&deep)));
        assert!(!orders.wants("order.created", &Data::new(&deep)));
    }

    #[test]
    fn what_orders_events_is_a_member_of_them() {
        let ordered = subscription(json!({ "events": ["*"], "ordered_by": "order.id" }));
        for (data, key) in [
            (r#"{"order": {"id": 7}}"#, Some("7")),
            (r#"{"order": {"id": "7"}}"#, Some("7")),
            (r#"{"order": {"id": false}}"#, Some("false")),
            (r#"{"order": {"id": null}}"#, None),
            (r#"{"order": 7}"#, None),
        ] {
            assert_eq!(ordered.order_key(&Data::new(data)).as_deref(), key, "{data}");
        }
        let long = json!({ "order": { "id": "x".repeat(KEY + 1) } }).to_string();
        assert_eq!(ordered.order_key(&Data::new(&long)).map(|key| key.len()), Some(64));
        let empty = r#"{"order": {"id": ""}}"#;
        assert_eq!(ordered.order_key(&Data::new(empty)).map(|key| key.len()), Some(64));
        assert_eq!(subscription(json!({ "events": ["*"] })).order_key(&Data::new("{}")), None);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let many = |count: usize| vec!["a"; count];
        for (given, place) in [
            (json!({ "events": [] }), "events"),
            (json!({ "events": many(EVENTS + 1) }), "events"),
            (json!({ "events": ["a", "a b"] }), "events[1]"),
            (json!({ "events": ["a"], "filters": [{ "field": "a" }, { "field": "" }] }), "filters[1].field"),
            (json!({ "events": ["a"], "filters": vec![json!({ "field": "a" }); FILTERS + 1] }), "filters"),
            (json!({ "events": ["a"], "ordered_by": "" }), "ordered_by"),
            (json!({ "events": ["a"], "attempts": 0 }), "attempts"),
            (json!({ "events": ["a"], "attempts": 101 }), "attempts"),
        ] {
            assert_eq!(
                subscription(given.clone()).check().map_err(|(place, _)| place),
                Err(place.to_owned()),
                "{given}"
            );
        }
    }
}
