use std::time::Duration;

use super::*;
use crate::store::fixture::identity;
use crate::tenant::quota::Quota;

fn metrics(max_tenants: usize, max_scripts: usize) -> Metrics {
    Metrics::new(&MetricsSettings { listen: None, max_tenants, max_scripts })
}

fn ran<'a>(tenant: &'a str, script: &'a str) -> Ran<'a> {
    Ran {
        tenant,
        script,
        trigger: "http",
        status: "completed",
        limit: None,
        duration: Duration::from_millis(3),
        used: Used { waited: Duration::from_micros(300), fuel: 7, memory_bytes: 1 << 20, host_calls: 2 },
    }
}

/// The lines of a metric, comments aside.
fn series(metrics: &Metrics, name: &str) -> Vec<String> {
    let name = format!("airlock_{name}{{");
    let text = metrics.text(&Now::default());
    let mut lines: Vec<String> = text.lines().filter(|line| line.starts_with(&name)).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn an_execution_is_counted_in_every_way() {
    let metrics = metrics(10, 10);
    metrics.ran(&ran("acme", "orders"));
    metrics.ran(&Ran { status: "limit", limit: Some("memory"), ..ran("acme", "orders") });
    metrics.ran(&Ran { trigger: "whatever", ..ran("acme", "nightly") });
    assert_eq!(
        series(&metrics, "executions_total"),
        [
            r#"airlock_executions_total{tenant="acme",script="nightly",trigger="other",status="completed"} 1"#,
            r#"airlock_executions_total{tenant="acme",script="orders",trigger="http",status="completed"} 1"#,
            r#"airlock_executions_total{tenant="acme",script="orders",trigger="http",status="limit"} 1"#,
        ]
    );
    assert_eq!(series(&metrics, "fuel_total")[1], r#"airlock_fuel_total{tenant="acme",script="orders"} 14"#);
    assert_eq!(
        series(&metrics, "host_calls_total")[0],
        r#"airlock_host_calls_total{tenant="acme",script="nightly"} 2"#
    );
    assert_eq!(series(&metrics, "limits_hit_total"), [r#"airlock_limits_hit_total{tenant="acme",limit="memory"} 1"#]);
    assert_eq!(
        series(&metrics, "execution_queue_seconds_count"),
        [r#"airlock_execution_queue_seconds_count{tenant="acme"} 3"#]
    );
    let durations = series(&metrics, "execution_duration_seconds_bucket");
    let at = |le: &str| durations.iter().find(|line| line.contains(&format!("le=\"{le}\"")) && line.contains("http"));
    assert!(at("0.0025").unwrap().ends_with(" 0"), "{durations:?}");
    assert!(at("0.005").unwrap().ends_with(" 2"), "{durations:?}");
}

#[test]
fn beyond_the_bounds_all_are_other() {
    let metrics = metrics(2, 100);
    for tenant in ["a", "b", "c", "d"] {
        for script in 0..50 {
            metrics.ran(&ran(tenant, &format!("script-{script}")));
        }
    }
    let lines = series(&metrics, "executions_total");
    // Ten scripts of each of two tenants, their others, and all other tenants'.
    assert_eq!(lines.len(), 2 * 11 + 1);
    let other = |tenant: &str| {
        let start = format!("airlock_executions_total{{tenant=\"{tenant}\",script=\"other\"");
        lines.iter().find(|line| line.starts_with(&start)).and_then(|line| line.rsplit(' ').next()).unwrap()
    };
    assert_eq!((other("a"), other("b"), other("other")), ("40", "40", "100"));
}

#[test]
fn what_scripts_publish_is_added_up_under_the_hosts_names() {
    let metrics = metrics(10, 10);
    let identity = identity("acme");
    let data = r#"{"script_name":"somebody-else","duration_ms":1234,"items_processed":500,"errors":0}"#;
    metrics.published(&identity, data);
    metrics.published(&identity, r#"{"items_processed":-1.5}"#);
    let own = |metric: &str| format!(r#"{{tenant="acme",script="nightly",metric="{metric}"}}"#);
    assert_eq!(
        series(&metrics, "script_metric_sum"),
        [
            format!("airlock_script_metric_sum{} 1234.0", own("duration_ms")),
            format!("airlock_script_metric_sum{} 0.0", own("errors")),
            format!("airlock_script_metric_sum{} 498.5", own("items_processed")),
        ]
    );
    assert!(
        series(&metrics, "script_metric_samples_total")
            .contains(&format!("airlock_script_metric_samples_total{} 2", own("items_processed")))
    );
}

#[test]
fn what_scripts_publish_is_bounded() {
    let metrics = metrics(10, 10);
    let identity = identity("acme");
    for data in ["[1]", "nonsense", r#"{"a\"} 1\nairlock_fuel_total{":1,"é":2,"":3,"1st":4}"#] {
        metrics.published(&identity, data);
    }
    metrics.published(&identity, &format!("{{\"{}\":1}}", "x".repeat(65)));
    assert_eq!(series(&metrics, "script_metric_sum"), [""; 0]);
    for number in 0..100 {
        metrics.published(&identity, &format!("{{\"metric_{number}\":1}}"));
    }
    assert_eq!(series(&metrics, "script_metric_sum").len(), 20);
    let text = metrics.text(&Now::default());
    assert!(text.contains("\nairlock_script_metric_ignored_total 85\n"), "{text}");
}

#[test]
fn the_pool_and_refusals_are_as_of_now() {
    let metrics = metrics(1, 10);
    let refusal = |tenant: &str, count| Refusal { tenant: tenant.to_owned(), quota: Quota::CallsPerMinute, count };
    for (busy, count) in [(3, 5), (1, 6)] {
        let refusals = vec![refusal("acme", count), refusal("globex", 1), refusal("initech", 1)];
        let text = metrics.text(&Now { under_way: 4, sandboxes: 8, busy, waiting: 2, refusals, ..Now::default() });
        for line in [
            "airlock_executions_under_way 4".to_owned(),
            format!("airlock_sandboxes{{state=\"busy\"}} {busy}"),
            format!("airlock_sandboxes{{state=\"free\"}} {}", 8 - busy),
            "airlock_sandboxes{state=\"waited_for\"} 2".to_owned(),
            format!("airlock_quota_refusals_total{{tenant=\"acme\",quota=\"calls_per_minute\"}} {count}"),
            "airlock_quota_refusals_total{tenant=\"other\",quota=\"calls_per_minute\"} 2".to_owned(),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
