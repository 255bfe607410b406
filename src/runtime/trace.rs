//! Which trace a call is part of: W3C Trace Context, level 1
//! (<https://www.w3.org/TR/trace-context/>).

use std::fmt;

use crate::hexadecimal;

/// What a caller sent as `traceparent`: its trace, and the span that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl Parent {
    /// Reads the header. None where it is not sound: it is to be ignored then.
    pub fn parse(header: &str) -> Option<Parent> {
        let mut parts = header.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may add parts, the first has none.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let _version: [u8; 1] = bytes(version)?;
        let [flags] = bytes(flags)?;
        let (trace, span) = (bytes(trace)?, bytes(span)?);
        (trace != [0; 16] && span != [0; 8]).then_some(Parent { trace, span, flags })
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if text.len() != 2 * N || !lower {
        return None;
    }
    hexadecimal::decode(text)?.try_into().ok()
}

/// A call's place in a trace. Its own span is what others see as their parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    trace: [u8; 16],
    span: [u8; 8],
    parent: Option<[u8; 8]>,
    flags: u8,
}

impl Trace {
    /// The trace of an execution, which continues its caller's where there is
    /// one. An execution's id is a UUID: its random end serves as the span, and
    /// the whole as the trace that begins with it.
    pub fn of(execution: &str, parent: Option<Parent>) -> Option<Trace> {
        let id = uuid::Uuid::parse_str(execution).ok()?.into_bytes();
        let [.., a, b, c, d, e, f, g, h] = id;
        let span = [a, b, c, d, e, f, g, h];
        if span == [0; 8] {
            return None;
        }
        Some(match parent {
            Some(parent) => Trace { trace: parent.trace, span, parent: Some(parent.span), flags: parent.flags & 1 },
            None => Trace { trace: id, span, parent: None, flags: 0 },
        })
    }

    /// The same where spans of it are kept: what begins here is to be kept
    /// everywhere, what does not is the caller's to say.
    pub fn kept(self) -> Trace {
        Trace { flags: if self.parent.is_some() { self.flags } else { 1 }, ..self }
    }

    /// Whether spans of it are kept.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// The trace's id.
    pub fn trace_bytes(&self) -> [u8; 16] {
        self.trace
    }

    /// The id of the call's own span.
    pub fn span_bytes(&self) -> [u8; 8] {
        self.span
    }

    /// The id of the caller's.
    pub fn parent_bytes(&self) -> Option<[u8; 8]> {
        self.parent
    }

    /// In hexadecimal, as traces are looked up.
    pub fn id(&self) -> String {
        hexadecimal::encode(&self.trace)
    }

    /// The caller's span, in hexadecimal.
    pub fn parent(&self) -> Option<String> {
        self.parent.map(|span| hexadecimal::encode(&span))
    }
}

/// The value of `traceparent` for what the call asks of others.
impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (hexadecimal::encode(&self.trace), hexadecimal::encode(&self.span));
        write!(formatter, "00-{trace}-{span}-{:02x}", self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXECUTION: &str = "0190163d-8694-7398-9a53-b2f3ea0b5c1d";
    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_call_goes_on_with_its_callers_trace() {
        let trace = Trace::of(EXECUTION, Parent::parse(HEADER)).unwrap();
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent().as_deref(), Some("00f067aa0ba902b7"));
        assert_eq!(trace.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-9a53b2f3ea0b5c1d-01");
        let later = HEADER.replacen("00", "cc", 1) + "-what-later-versions-add";
        assert_eq!(Parent::parse(&later), Parent::parse(HEADER));
    }

    #[test]
    fn without_a_sound_caller_a_trace_begins_with_the_execution() {
        let without_hyphens = EXECUTION.replace('-', "");
        let upper = HEADER.to_uppercase();
        let more = format!("{HEADER}-more");
        let unsound = [
            "",
            "00",
            "nonsense",
            &upper,
            &more,
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ];
        for header in unsound {
            assert_eq!(Parent::parse(header), None, "{header}");
            let trace = Trace::of(EXECUTION, Parent::parse(header)).unwrap();
            assert_eq!((trace.id(), trace.parent()), (without_hyphens.clone(), None));
        }
        assert_eq!(Trace::of("execution-1", None), None, "who names executions otherwise has no traces");
    }
}
