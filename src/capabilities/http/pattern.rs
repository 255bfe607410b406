//! What an allow-list can say.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use crate::capabilities::grant::Entry;

/// One entry of a script's allow-list: a scheme, a host and a port.
///
/// | written as | allows |
/// |---|---|
/// | `api.example.com` | `https://api.example.com`, port 443 only |
/// | `api.example.com:8443` | `https` at port 8443 only |
/// | `*.example.com` | `https`, every subdomain at any depth, but not `example.com` |
/// | `https://api.example.com:8443` | the same as without `https://` |
/// | `http://localhost:9000` | unencrypted `http` at port 9000 only |
/// | `192.0.2.7`, `[2001:db8::7]` | `https` to the address itself |
/// | `*` | `https`, every host at port 443 |
///
/// Unencrypted requests are allowed only where `http://` is written. What a
/// pattern allows is still subject to the rules on addresses: a pattern alone
/// never opens a private network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    scheme: Scheme,
    host: Names,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    Every,
    /// Hosts under this domain, which is not one of them.
    Under(String),
    One(Host),
}

impl Scheme {
    fn of(url: &Url) -> Option<Scheme> {
        match url.scheme() {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Pattern {
    /// The narrowest pattern that allows an address. None for one that no
    /// pattern can allow.
    pub(super) fn of(url: &Url) -> Option<Pattern> {
        let scheme = Scheme::of(url)?;
        let host = Names::One(url.host()?.to_owned());
        Some(Pattern { scheme, host, port: url.port().unwrap_or(scheme.port()) })
    }

    /// Whether this allows an address. The host of `url` is expected without
    /// the root's trailing dot.
    pub fn allows(&self, url: &Url) -> bool {
        let Some(scheme) = Scheme::of(url) else { return false };
        scheme == self.scheme
            && url.port().unwrap_or(scheme.port()) == self.port
            && match (&self.host, url.host()) {
                (_, None) => false,
                (Names::Every, Some(_)) => true,
                (Names::One(host), Some(asked)) => *host == asked.to_owned(),
                (Names::Under(domain), Some(Host::Domain(asked))) => asked
                    .strip_suffix(domain.as_str())
                    .and_then(|rest| rest.strip_suffix('.'))
                    .is_some_and(|labels| !labels.is_empty()),
                (Names::Under(_), Some(_)) => false,
            }
    }
}

/// Why a pattern could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a host that requests can be allowed to: {reason}")]
pub struct PatternError {
    pattern: String,
    reason: &'static str,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Pattern, PatternError> {
        parse(text).map_err(|reason| PatternError { pattern: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Pattern, &'static str> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
        Some(_) => return Err("the scheme must be https:// or http://"),
        None => (Scheme::Https, text),
    };
    if rest.is_empty() {
        return Err("it names no host; write it as `api.example.com`");
    }
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("it has white space in it");
    }
    if rest.contains('@') {
        return Err("it has a user name in it; a script sets the Authorization header itself");
    }
    if rest.contains(['/', '?', '#', '\\']) {
        return Err("it has a path; a whole host is allowed, or none of it");
    }
    let (wildcard, name) = match rest.strip_prefix('*') {
        None => (false, rest),
        Some(rest) if rest.is_empty() || rest.starts_with(':') => {
            let port = match rest.strip_prefix(':') {
                None => scheme.port(),
                Some(port) => port.parse().map_err(|_| "its port is not a number from 1 to 65535")?,
            };
            return checked(Pattern { scheme, host: Names::Every, port });
        }
        Some(rest) => match rest.strip_prefix('.') {
            Some(name) => (true, name),
            None => return Err("`*` stands for whole labels; write it as `*.example.com`"),
        },
    };
    if name.contains('*') {
        return Err("`*` can stand only at the start, as in `*.example.com`");
    }
    let url = Url::parse(&format!("{}://{name}/", scheme.name()))
        .map_err(|_| "it is not a host name or an IP address, with a port from 1 to 65535 at most")?;
    let host = match url.host() {
        Some(Host::Domain(domain)) => {
            let domain = domain.strip_suffix('.').unwrap_or(domain);
            if !is_name(domain) {
                return Err("its host name has an empty or too long part");
            }
            match wildcard {
                true => Names::Under(domain.to_owned()),
                false => Names::One(Host::Domain(domain.to_owned())),
            }
        }
        Some(_) if wildcard => return Err("an IP address has no subdomains"),
        Some(host) => Names::One(host.to_owned()),
        None => return Err("it names no host; write it as `api.example.com`"),
    };
    checked(Pattern { scheme, host, port: url.port().unwrap_or(scheme.port()) })
}

fn checked(pattern: Pattern) -> Result<Pattern, &'static str> {
    if pattern.port == 0 { Err("its port is not a number from 1 to 65535") } else { Ok(pattern) }
}

/// Whether a domain, without a trailing dot, can be looked up at all (RFC 1035).
pub(super) fn is_name(domain: &str) -> bool {
    domain.len() <= 253 && domain.split('.').all(|label| (1..=63).contains(&label.len()))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Http {
            f.write_str("http://")?;
        }
        match &self.host {
            Names::Every => f.write_str("*")?,
            Names::Under(domain) => write!(f, "*.{domain}")?,
            Names::One(host) => write!(f, "{host}")?,
        }
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl Entry for Pattern {
    const LIST: &'static str = "http";

    fn covers(&self, other: &Pattern) -> bool {
        let below = |domain: &str, name: &str| name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        (self.scheme, self.port) == (other.scheme, other.port)
            && match (&self.host, &other.host) {
                (Names::Every, _) => true,
                (Names::Under(domain), Names::Under(other)) => domain == other || below(domain, other),
                (Names::Under(domain), Names::One(Host::Domain(name))) => below(domain, name),
                (host, other) => host == other,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_allows_what_it_says_and_no_more() {
        for (pattern, allowed, denied) in [
            (
                "api.example.com",
                &["https://api.example.com", "https://API.Example.com:443/a?b#c"][..],
                &[
                    "http://api.example.com",
                    "https://api.example.com:8443",
                    "https://example.com",
                    "https://a.api.example.com",
                    "https://api.example.com.evil.test",
                    "https://evilapi.example.com",
                    "https://evil.test/api.example.com",
                    "https://api.example.com@evil.test",
                ][..],
            ),
            ("api.example.com:8443", &["https://api.example.com:8443"], &["https://api.example.com"]),
            ("HTTPS://API.example.com.", &["https://api.example.com"], &["http://api.example.com"]),
            (
                "*.example.com",
                &["https://a.example.com", "https://a.b.example.com"],
                &[
                    "https://example.com",
                    "https://.example.com",
                    "https://evilexample.com",
                    "http://a.example.com",
                    "https://a.example.com:8443",
                ],
            ),
            ("https://*.example.com:8443", &["https://a.example.com:8443"], &["https://a.example.com"]),
            (
                "http://localhost:9000",
                &["http://localhost:9000/"],
                &["https://localhost:9000", "http://localhost", "http://127.0.0.1:9000"],
            ),
            ("192.0.2.7", &["https://192.0.2.7", "https://0xc0000207"], &["https://192.0.2.8"]),
            ("[2001:db8::7]:8443", &["https://[2001:db8:0::7]:8443"], &["https://[2001:db8::8]:8443"]),
            (
                "bücher.example",
                &["https://xn--bcher-kva.example", "https://BÜCHER.example"],
                &["https://bucher.example"],
            ),
            (
                "*",
                &["https://anything.test", "https://1.1.1.1"],
                &["http://anything.test", "https://anything.test:8443"],
            ),
            ("http://*:8080", &["http://anything.test:8080"], &["https://anything.test:8080"]),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            for url in allowed {
                assert!(pattern.allows(&Url::parse(url).unwrap()), "{pattern} should allow {url}");
            }
            for url in denied {
                assert!(!pattern.allows(&Url::parse(url).unwrap()), "{pattern} should deny {url}");
            }
            assert_eq!(pattern.to_string().parse(), Ok(pattern), "it reads as it is written");
        }
    }

    #[test]
    fn a_pattern_covers_what_is_narrower() {
        for (wide, narrow, covers) in [
            ("*", "api.example.com", true),
            ("*", "*.example.com", true),
            ("*", "http://api.example.com", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "*.b.example.com", true),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("api.example.com", "api.example.com", true),
            ("api.example.com", "*.example.com", false),
            ("api.example.com", "api.example.com:8443", false),
        ] {
            let (wide, narrow): (Pattern, Pattern) = (wide.parse().unwrap(), narrow.parse().unwrap());
            assert_eq!(wide.covers(&narrow), covers, "{wide} for {narrow}");
        }
    }

    #[test]
    fn what_is_not_a_pattern_is_refused_with_a_reason() {
        for (pattern, reason) in [
            ("", "names no host"),
            ("https://", "names no host"),
            ("ftp://example.com", "the scheme must be"),
            ("https://example.com/v1", "has a path"),
            ("example.com/", "has a path"),
            ("example.com?x", "has a path"),
            ("user@example.com", "user name"),
            ("a*.example.com", "only at the start"),
            ("*example.com", "whole labels"),
            ("api.*.com", "only at the start"),
            ("*.*", "only at the start"),
            ("*.", "not a host name"),
            ("*.127.0.0.1", "no subdomains"),
            ("*.[::1]", "no subdomains"),
            ("a..example.com", "empty or too long"),
            ("example.com:0", "port"),
            ("example.com:65536", "port"),
            ("*:0", "port"),
            ("*:port", "port"),
            ("exa mple.com", "white space"),
            (" example.com", "white space"),
            ("exam\nple.com", "white space"),
            ("1.2.3.4.5", "not a host name"),
        ] {
            let error = pattern.parse::<Pattern>().expect_err(pattern).to_string();
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }
}
