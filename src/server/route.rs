//! Path patterns of HTTP scripts, and which script a path belongs to.
//!
//! `/orders/{id}`, also written `/orders/:id`: a segment is text or one
//! parameter. Where several patterns match, the first segment from the left
//! that is text in one and a parameter in the other decides for the text. The
//! pattern is chosen first and the method after it: a path whose best pattern
//! lacks the method is answered 405, never handed to a lesser pattern.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use axum::http::Method;
use percent_encoding::percent_decode_str;

use crate::scripts::Script;

/// Segments that a pattern may have; a longer path matches nothing.
const MAX_SEGMENTS: usize = 32;

/// A path's parameters in order, names and decoded values.
pub type Parameters = Vec<(String, String)>;

/// What an HTTP script answers to, below `/api/custom`.
#[derive(Debug, Clone)]
pub struct Route {
    pub pattern: Pattern,
    /// Without HEAD, which is served from GET, and OPTIONS, which the host answers.
    pub methods: Vec<Method>,
}

/// A path with parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Segment>);

#[derive(Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    Parameter(String),
}

impl Pattern {
    /// Reads a pattern. The error says what is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let rest = text
            .strip_prefix('/')
            .ok_or_else(|| format!("`{text}` does not begin with a slash; write it as `/{text}`"))?;
        if rest.is_empty() {
            return Err("a path needs at least one segment, such as `/orders`".to_owned());
        }
        let mut segments = Vec::new();
        let mut names = HashSet::new();
        for part in rest.split('/') {
            let segment = Segment::parse(part).map_err(|reason| format!("`{text}`: {reason}"))?;
            if let Segment::Parameter(name) = &segment
                && !names.insert(name.clone())
            {
                return Err(format!("`{text}` names the parameter `{name}` twice"));
            }
            segments.push(segment);
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(format!("a path has at most {MAX_SEGMENTS} segments"));
        }
        Ok(Pattern(segments))
    }

    /// The parameters, in order, where the path matches. Takes the path's
    /// segments decoded; a parameter is never empty.
    fn matches(&self, path: &[String]) -> Option<Parameters> {
        if self.0.len() != path.len() {
            return None;
        }
        let mut parameters = Vec::new();
        for (segment, part) in self.0.iter().zip(path) {
            match segment {
                Segment::Text(text) if text == part => {}
                Segment::Parameter(name) if !part.is_empty() => {
                    parameters.push((name.clone(), part.clone()));
                }
                _ => return None,
            }
        }
        Some(parameters)
    }

    /// Whether both match exactly the same paths.
    pub fn same_paths(&self, other: &Pattern) -> bool {
        self.shape() == other.shape()
    }

    fn shape(&self) -> Vec<Option<&str>> {
        self.0
            .iter()
            .map(|segment| match segment {
                Segment::Text(text) => Some(text.as_str()),
                Segment::Parameter(_) => None,
            })
            .collect()
    }
}

impl Segment {
    fn parse(part: &str) -> Result<Segment, String> {
        let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).or_else(|| part.strip_prefix(':'));
        match name {
            Some(name) if is_identifier(name) => Ok(Segment::Parameter(name.to_owned())),
            Some(name) => {
                Err(format!("`{name}` is not a parameter's name; use letters, digits and `_`, as in `/orders/{{id}}`"))
            }
            None if part.is_empty() => Err("a segment is empty; leave out the extra slash".to_owned()),
            None if part == "." || part == ".." => Err(format!("`{part}` cannot be a segment: clients resolve it")),
            None => match part.chars().find(|&c| !is_plain(c)) {
                None => Ok(Segment::Text(part.to_owned())),
                Some('*') => Err("`*` is not supported; name each segment, as in `/files/{name}`".to_owned()),
                Some('{' | '}') => Err(format!("`{part}` mixes text and a parameter; a segment is one or the other")),
                Some(c) => Err(format!("the character {c:?} cannot stand in a segment")),
            },
        }
    }
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Paths are compared decoded, so a pattern holds the characters themselves.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-._~!$&'()+,;=@".contains(c)
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Text(text) => write!(formatter, "/{text}")?,
                Segment::Parameter(name) => write!(formatter, "/{{{name}}}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pattern({self})")
    }
}

/// The path below `/api/custom/`, as segments with their escapes decoded.
/// None where the escapes are not UTF-8.
pub fn segments(path: &str) -> Option<Vec<String>> {
    path.split('/').map(|part| percent_decode_str(part).decode_utf8().ok().map(|text| text.into_owned())).collect()
}

/// The HTTP scripts of one tenant, as a tree of segments: the time to find one
/// does not grow with their number.
#[derive(Debug, Default)]
pub struct Table {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    text: HashMap<String, Node>,
    parameter: Option<Box<Node>>,
    /// Those whose pattern ends here.
    scripts: Vec<Arc<Script>>,
}

impl Table {
    /// Adds a script, if it has a route. Of two that collide, the first is found.
    pub fn insert(&mut self, script: Arc<Script>) {
        let Some(route) = &script.route else { return };
        let mut node = &mut self.root;
        for segment in &route.pattern.0 {
            node = match segment {
                Segment::Text(text) => node.text.entry(text.clone()).or_default(),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
            };
        }
        node.scripts.push(script);
    }

    /// The scripts of the best pattern that matches, of whatever method.
    pub fn find(&self, path: &[String]) -> Option<&[Arc<Script>]> {
        self.root.find(path)
    }
}

impl Node {
    /// No deeper than the longest pattern, whatever the path.
    fn find(&self, path: &[String]) -> Option<&[Arc<Script>]> {
        let Some((first, rest)) = path.split_first() else {
            return (!self.scripts.is_empty()).then_some(self.scripts.as_slice());
        };
        self.text.get(first).and_then(|node| node.find(rest)).or_else(|| {
            let node = self.parameter.as_ref().filter(|_| !first.is_empty())?;
            node.find(rest)
        })
    }
}

/// The script that serves the method, and the path's parameters.
pub fn of_method<'a>(
    scripts: &'a [Arc<Script>],
    method: &Method,
    path: &[String],
) -> Option<(&'a Arc<Script>, Parameters)> {
    // A client that asks for the head alone gets what GET would say.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    scripts.iter().find_map(|script| {
        let route = script.route.as_ref().filter(|route| route.methods.contains(method))?;
        Some((script, route.pattern.matches(path)?))
    })
}

/// The value of an Allow header.
pub fn allow<'a>(scripts: impl IntoIterator<Item = &'a Arc<Script>>) -> String {
    let mut methods: Vec<&str> = scripts
        .into_iter()
        .filter_map(|script| script.route.as_ref())
        .flat_map(|route| route.methods.iter().map(Method::as_str))
        .collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}
