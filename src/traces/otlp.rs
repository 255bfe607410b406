//! Spans sent over OTLP, as protobuf over HTTP, many at once.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanProcessor};
use tokio::runtime::Handle;

use super::Execution;
use crate::runtime::trace::Trace;

/// Spans that wait to be sent; further ones are left out.
const QUEUE: usize = 16 << 10;
/// Spans of one request.
const BATCH: usize = 512;
/// How long a span may wait for others.
const EVERY: Duration = Duration::from_secs(1);
/// How long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends spans to a collector. One that does not answer delays nobody.
#[derive(Debug)]
pub struct Traces {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

/// Sends on the host's own threads: the library's has no runtime.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sending = self.runtime.spawn(async move {
            let (head, body) = request.into_parts();
            let sent = http.request(head.method, head.uri.to_string()).headers(head.headers).body(body).send().await?;
            let mut answer = Response::builder().status(sent.status());
            if let Some(headers) = answer.headers_mut() {
                headers.extend(sent.headers().clone());
            }
            Ok::<_, HttpError>(answer.body(sent.bytes().await?)?)
        });
        sending.await?
    }
}

impl Traces {
    /// `endpoint` is where spans are posted to, such as
    /// `http://127.0.0.1:4318/v1/traces`.
    pub fn new(endpoint: &str) -> anyhow::Result<Traces> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
        let client = Client { http, runtime: Handle::try_current()? };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(endpoint)
            .with_timeout(TIMEOUT)
            .build()?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(EVERY)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        processor.set_resource(
            &Resource::builder()
                .with_service_name("airlock")
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build(),
        );
        Ok(Traces { processor, scope: InstrumentationScope::builder("airlock").build() })
    }

    pub fn execution(&self, execution: &Execution<'_>) {
        let Execution { trace, id, tenant, script, version, trigger, status, .. } = *execution;
        if !trace.is_sampled() {
            return;
        }
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let mut attributes = vec![
            KeyValue::new("airlock.execution", id.to_owned()),
            KeyValue::new("airlock.tenant", tenant.to_owned()),
            KeyValue::new("airlock.script", script.to_owned()),
            KeyValue::new("airlock.trigger", trigger.to_owned()),
            KeyValue::new("airlock.status", status.to_owned()),
            KeyValue::new("airlock.queue_us", micros(execution.waited)),
            KeyValue::new("airlock.fuel", number(execution.fuel)),
            KeyValue::new("airlock.memory_bytes", number(execution.memory_bytes)),
            KeyValue::new("airlock.host_calls", number(execution.host_calls)),
        ];
        attributes.extend(version.map(|version| KeyValue::new("airlock.version", version)));
        let ended = execution.began + execution.waited + execution.ran;
        let status = if execution.failed { Status::error(status.to_owned()) } else { Status::Unset };
        let parent = trace.parent_bytes().unwrap_or_default();
        self.send(Span {
            trace,
            span: trace.span_bytes(),
            parent,
            is_remote: true,
            kind: SpanKind::Server,
            name: format!("script {script}").into(),
            began: execution.began,
            ended,
            attributes,
            status,
        });
    }

    pub fn host_call(&self, trace: Trace, name: &'static str, began: SystemTime, error: Option<String>) {
        let [span @ .., _, _, _, _, _, _, _, _] = uuid::Uuid::new_v4().into_bytes();
        let status = error.map_or(Status::Unset, Status::error);
        self.send(Span {
            trace,
            span,
            parent: trace.span_bytes(),
            is_remote: false,
            kind: SpanKind::Client,
            name: name.into(),
            began,
            ended: SystemTime::now(),
            attributes: Vec::new(),
            status,
        });
    }

    /// Sends what waits. Blocks for as long as that takes.
    pub fn flush(&self) {
        if let Err(reason) = self.processor.force_flush() {
            tracing::warn!(%reason, "the last spans were not sent");
        }
    }

    fn send(&self, span: Span) {
        let flags = TraceFlags::SAMPLED;
        let trace = TraceId::from_bytes(span.trace.trace_bytes());
        let id = SpanId::from_bytes(span.span);
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(trace, id, flags, false, TraceState::default()),
            parent_span_id: SpanId::from_bytes(span.parent),
            parent_span_is_remote: span.is_remote,
            span_kind: span.kind,
            name: span.name,
            start_time: span.began,
            end_time: span.ended,
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: span.status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// What a span says.
struct Span {
    trace: Trace,
    span: [u8; 8],
    parent: [u8; 8],
    is_remote: bool,
    kind: SpanKind,
    name: std::borrow::Cow<'static, str>,
    began: SystemTime,
    ended: SystemTime,
    attributes: Vec<KeyValue>,
    status: Status,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::super::HostCall;
    use super::*;
    use crate::runtime::failure::Failure;
    use crate::runtime::trace::Parent;

    const EXECUTION: &str = "0190163d-8694-7398-9a53-b2f3ea0b5c1d";

    fn ran(trace: Trace, script: &str) -> Execution<'_> {
        Execution {
            trace,
            id: EXECUTION,
            tenant: "acme",
            script,
            version: Some(3),
            trigger: "http",
            status: "failed",
            failed: true,
            began: SystemTime::now(),
            waited: Duration::from_millis(1),
            ran: Duration::from_millis(2),
            fuel: 4,
            memory_bytes: 5,
            host_calls: 6,
        }
    }

    fn holds(body: &[u8], part: &[u8]) -> bool {
        body.windows(part.len()).any(|window| window == part)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn spans_reach_the_collector_with_their_trace() {
        let collector = MockServer::start().await;
        let posted = Mock::given(method("POST")).and(path("/v1/traces")).respond_with(ResponseTemplate::new(200));
        collector.register(posted).await;
        let traces = Arc::new(Traces::new(&format!("{}/v1/traces", collector.uri())).unwrap());
        let trace = Trace::of(EXECUTION, None).unwrap().kept();
        let call = HostCall::begin(Some(&traces), Some(trace), "db.query").unwrap();
        call.end(Some(&Failure::new("DatabaseError", "no")));
        drop(HostCall::begin(Some(&traces), Some(trace), "http.request"));
        traces.execution(&ran(trace, "orders"));
        // Its caller does not want it to be kept.
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let unwanted = Trace::of(EXECUTION, Parent::parse(header)).unwrap().kept();
        assert!(HostCall::begin(Some(&traces), Some(unwanted), "storage.get").is_none());
        traces.execution(&ran(unwanted, "unwanted"));
        let sent = traces.clone();
        tokio::task::spawn_blocking(move || sent.flush()).await.unwrap();

        let requests = collector.received_requests().await.unwrap();
        assert_eq!(requests[0].headers["content-type"], "application/x-protobuf");
        let body: Vec<u8> = requests.iter().flat_map(|request| request.body.clone()).collect();
        for part in ["script orders", "db.query", "DatabaseError", "http.request", "interrupted", "acme", "airlock"] {
            assert!(holds(&body, part.as_bytes()), "{part}");
        }
        assert!(holds(&body, &trace.trace_bytes()) && holds(&body, &trace.span_bytes()));
        assert!(!holds(&body, b"unwanted") && !holds(&body, b"storage.get"));
    }
}
