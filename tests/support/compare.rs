//! Compares what came out with what `expected.json` says.

use serde_json::{Map, Value};

/// The members of a log line that the host writes on every line.
const HOSTS: [&str; 7] = ["timestamp", "tenant_id", "user_id", "script_id", "script", "execution_id", "source_file"];

/// All differences, one a line.
pub fn cases(expected: &Value, actual: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    let alone = [expected.clone()];
    let expected_runs = expected["runs"].as_array().map_or(&alone[..], Vec::as_slice);
    let none = Vec::new();
    let actual_runs = actual["runs"].as_array().unwrap_or(&none);
    if expected_runs.len() != actual_runs.len() {
        differences.push(format!("there were {} runs, {} are expected", actual_runs.len(), expected_runs.len()));
    }
    for (index, (expected, actual)) in expected_runs.iter().zip(actual_runs).enumerate() {
        let place = if actual_runs.len() == 1 { String::new() } else { format!("run {}: ", index + 1) };
        let mut found = Vec::new();
        run(expected, actual, &mut found);
        differences.extend(found.into_iter().map(|difference| place.clone() + &difference));
    }
    if let Some(after) = expected.get("after") {
        value(after, &actual["after"], true, "after", &mut differences);
    }
    differences
}

fn run(expected: &Value, actual: &Value, differences: &mut Vec<String>) {
    let Some(members) = expected.as_object() else {
        differences.push("nothing is expected of this run: expected.json is missing or has no object for it".into());
        return;
    };
    let known = ["status", "result", "error", "logs", "host_calls", "memory_bytes", "compile", "after"];
    for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
        differences.push(format!("expected.json: there is no `{name}` to expect"));
    }
    value(&expected["status"], &actual["status"], false, "status", differences);
    value(&expected["compile"], &actual["compile"], false, "compile", differences);
    value(&expected["result"], &actual["result"], false, "result", differences);
    value(&expected["error"], &actual["error"], true, "error", differences);
    let no_logs = Value::Array(Vec::new());
    value(members.get("logs").unwrap_or(&no_logs), &actual["logs"], true, "logs", differences);
    for name in ["host_calls", "memory_bytes"] {
        if let Some(expected) = members.get(name) {
            value(expected, &actual[name], false, name, differences);
        }
    }
}

/// `part`: an object may have members that are not named.
fn value(expected: &Value, actual: &Value, part: bool, path: &str, differences: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (name, expected) in expected {
                let path = format!("{path}.{name}");
                match actual.get(name) {
                    Some(actual) => value(expected, actual, part, &path, differences),
                    // What is not there is not anything either.
                    None if expected.is_null() => {}
                    None => differences.push(format!("{path} is missing; {expected} is expected")),
                }
            }
            for name in actual.keys().filter(|name| !part && !expected.contains_key(*name)) {
                differences.push(format!("{path}.{name} is not expected: {}", actual[name]));
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            if expected.len() != actual.len() {
                differences.push(format!("{path} has {} elements; {} are expected", actual.len(), expected.len()));
            }
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                value(expected, actual, part, &format!("{path}[{index}]"), differences);
            }
        }
        (Value::String(pattern), actual) if placeholder(pattern, actual) => {}
        (Value::String(pattern), Value::String(text)) if fits(pattern, text) => {}
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (expected, actual) if expected == actual => {}
        _ => differences.push(format!("{path} is {actual}; {expected} is expected")),
    }
}

fn placeholder(pattern: &str, actual: &Value) -> bool {
    match pattern {
        "<any>" => true,
        "<number>" => actual.is_number(),
        _ => false,
    }
}

/// Whether a text is what a pattern with placeholders stands for.
pub fn fits(pattern: &str, text: &str) -> bool {
    let next = ["<any>", "<uuid>", "<iso-date>", "<number>"]
        .into_iter()
        .filter_map(|name| pattern.find(name).map(|at| (at, name)))
        .min();
    let Some((at, name)) = next else { return pattern == text };
    let (before, after) = (&pattern[..at], &pattern[at + name.len()..]);
    let Some(rest) = text.strip_prefix(before) else { return false };
    let ends = rest.char_indices().map(|(end, _)| end).chain([rest.len()]);
    ends.into_iter().any(|end| stands_for(name, &rest[..end]) && fits(after, &rest[end..]))
}

fn stands_for(name: &str, text: &str) -> bool {
    match name {
        "<any>" => true,
        "<uuid>" => text.len() == 36 && uuid::Uuid::parse_str(text).is_ok(),
        "<iso-date>" => text.len() == 24 && text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        _ => text.parse::<f64>().is_ok(),
    }
}

/// What must hold between the runs of a case.
pub fn across_runs(actual: &Value, fuel_same: bool, distinct: bool) -> Vec<String> {
    let none = Vec::new();
    let runs = actual["runs"].as_array().unwrap_or(&none);
    let mut differences = Vec::new();
    if fuel_same {
        let burnt: Vec<u64> = runs.iter().filter_map(|run| run["fuel"].as_u64()).collect();
        if burnt.len() < 2 || burnt[0] == 0 || burnt.iter().any(|fuel| *fuel != burnt[0]) {
            differences.push(format!("the runs burnt {burnt:?}; the same fuel is expected of at least two"));
        }
    }
    if distinct {
        if runs.len() < 2 {
            differences.push("at least two runs are expected to differ".into());
        }
        let members = |run: &Value| match &run["result"] {
            Value::Object(members) => members.clone(),
            other => Map::from_iter([("result".to_owned(), other.clone())]),
        };
        for (index, one) in runs.iter().enumerate() {
            for other in &runs[..index] {
                let other = members(other);
                for (name, value) in members(one).iter().filter(|(name, value)| other.get(*name) == Some(value)) {
                    differences.push(format!("{name} is {value} in two runs"));
                }
            }
        }
    }
    differences
}

/// What came out, less what varies and what stands on every line.
pub fn worth_keeping(actual: &Value) -> Value {
    let mut runs: Vec<Value> = actual["runs"].as_array().into_iter().flatten().map(kept).collect();
    let mut after = actual["after"].as_object().cloned().unwrap_or_default();
    after.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()) && value.as_u64() != Some(0));
    let mut whole = if runs.len() == 1 {
        runs.remove(0).as_object().cloned().unwrap_or_default()
    } else {
        Map::from_iter([("runs".to_owned(), Value::Array(runs))])
    };
    if !after.is_empty() {
        whole.insert("after".into(), Value::Object(after));
    }
    Value::Object(whole)
}

fn kept(run: &Value) -> Value {
    let mut kept = Map::new();
    for name in ["status", "compile", "result"] {
        if let Some(value) = run.get(name).filter(|value| !value.is_null()) {
            kept.insert(name.into(), value.clone());
        }
    }
    if let Some(error) = run["error"].as_object() {
        let mut error = error.clone();
        error.remove("stack");
        error.retain(|_, value| !value.is_null());
        kept.insert("error".into(), Value::Object(error));
    }
    let lines: Vec<Value> = run["logs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|line| {
            let mut line = line.as_object().cloned().unwrap_or_default();
            line.retain(|name, _| !HOSTS.contains(&name.as_str()));
            Value::Object(line)
        })
        .collect();
    if !lines.is_empty() {
        kept.insert("logs".into(), Value::Array(lines));
    }
    Value::Object(kept)
}
