//! Which addresses may be connected to, whatever a script was granted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{PoisonError, RwLock};

use ipnet::IpNet;

/// The operator's exceptions and the host's own listeners, on top of the
/// ranges that are blocked for everyone.
#[derive(Debug, Default)]
pub(super) struct Rules {
    exceptions: Vec<IpNet>,
    forbidden: RwLock<Vec<SocketAddr>>,
}

impl Rules {
    pub(super) fn new(exceptions: Vec<IpNet>) -> Rules {
        Rules { exceptions, forbidden: RwLock::default() }
    }

    pub(super) fn forbid(&self, address: SocketAddr) {
        let mut forbidden = self.forbidden.write().unwrap_or_else(PoisonError::into_inner);
        if !forbidden.contains(&address) {
            forbidden.push(address);
        }
    }

    /// Whether any address may be connected to at a port that is not forbidden.
    pub(super) fn permits(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        // A connection to 0.0.0.0 reaches the loopback interface, so an
        // exception as wide as 0.0.0.0/0 must not cover it.
        !ip.is_unspecified() && (!is_blocked(ip) || self.exceptions.iter().any(|network| network.contains(&ip)))
    }

    /// Whether `ip:port` may be connected to.
    pub(super) fn permits_at(&self, ip: IpAddr, port: u16) -> bool {
        self.permits(ip) && !self.forbids(ip, port)
    }

    fn forbids(&self, ip: IpAddr, port: u16) -> bool {
        let reached = reached(ip);
        let forbidden = self.forbidden.read().unwrap_or_else(PoisonError::into_inner);
        forbidden.iter().filter(|listener| listener.port() == port).any(|listener| {
            let listening = listener.ip().to_canonical();
            // A listener on [::] commonly accepts IPv4 too: a wildcard of
            // either family counts for both.
            if listening.is_unspecified() { is_local(reached) } else { listening == reached }
        })
    }
}

/// Whether an address is this host's own. Binding says so for every interface
/// there is at this moment, and where a host lets any address be bound, the
/// answer errs on the side of refusing.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

/// The address that is reached in the end: IPv4 where it is written inside an
/// IPv6 address.
fn reached(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => embedded(ip).map_or(IpAddr::V6(ip), IpAddr::V4),
        ip => ip,
    }
}

/// Whether an address is not a public one: private, local to the machine or
/// the link, shared, reserved, or a cloud's metadata service.
///
/// The ranges are those of the IANA special-purpose registries (RFC 6890) that
/// are not globally reachable.
fn is_blocked(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_blocked_v4(ip),
        IpAddr::V6(ip) => is_blocked_v6(ip),
    }
}

fn is_blocked_v4(ip: Ipv4Addr) -> bool {
    matches!(
        ip.octets(),
        [0 | 10 | 127, ..]            // this network, private, loopback
            | [100, 64..=127, ..]     // shared by carriers
            | [169, 254, ..]          // link-local, metadata services among them
            | [172, 16..=31, ..]      // private
            | [192, 0, 0 | 2, _]      // protocol assignments, documentation
            | [192, 88, 99, _]        // 6to4 relays
            | [192, 168, ..]          // private
            | [198, 18 | 19, ..]      // benchmarks
            | [198, 51, 100, _]       // documentation
            | [203, 0, 113, _]        // documentation
            | [168, 63, 129, 16]      // Azure's host agent, in a public range
            | [224..=255, ..] // multicast, reserved, broadcast
    )
}

fn is_blocked_v6(ip: Ipv6Addr) -> bool {
    if let Some(inner) = embedded(ip) {
        return is_blocked_v4(inner);
    }
    match ip.segments() {
        [0x2001, 0x0000..=0x01ff, ..] => true, // protocol assignments, Teredo
        [0x2001, 0x0db8, ..] => true,          // documentation
        [0x3fff, 0x0000..=0x0fff, ..] => true, // documentation
        // Nothing outside 2000::/3 is global unicast.
        [first, ..] => first & 0xe000 != 0x2000,
    }
}

/// The IPv4 address that a translator takes out of an IPv6 one: NAT64
/// (64:ff9b::/96, RFC 6052) and 6to4 (2002::/16, RFC 3056).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match ip.segments() {
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_public_addresses_are_permitted() {
        let rules = Rules::default();
        for blocked in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "168.63.129.16",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0.0.0.0",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:53aa:64c:0:0:8000:1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!rules.permits(ip(blocked)), "{blocked} must be blocked");
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
        ] {
            assert!(rules.permits(ip(public)), "{public} must be permitted");
        }
    }

    #[test]
    fn exceptions_open_what_they_name_and_no_more() {
        let rules = Rules::new(vec!["127.0.0.1/32".parse().unwrap()]);
        assert!(rules.permits(ip("127.0.0.1")));
        assert!(rules.permits(ip("::ffff:127.0.0.1")), "the same address");
        assert!(!rules.permits(ip("127.0.0.2")));
        assert!(!rules.permits(ip("64:ff9b::127.0.0.1")), "another way there");
        assert!(!rules.permits(ip("::1")));
    }

    #[test]
    fn the_unspecified_address_is_refused_under_any_exception() {
        let rules = Rules::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        for unspecified in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            assert!(!rules.permits(ip(unspecified)), "{unspecified}");
        }
        assert!(rules.permits(ip("10.0.0.1")));
    }

    #[test]
    fn own_listeners_are_refused_inside_exceptions() {
        let rules = Rules::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        rules.forbid("127.0.0.1:8080".parse().unwrap());
        rules.forbid("0.0.0.0:9090".parse().unwrap());
        for (address, port, permitted) in [
            ("127.0.0.1", 8080, false),
            ("::ffff:127.0.0.1", 8080, false),
            ("64:ff9b::127.0.0.1", 8080, false),
            ("127.0.0.1", 8081, true),
            ("127.0.0.2", 8080, true),
            ("127.0.0.1", 9090, false),
            ("127.0.0.2", 9090, false),
            ("::1", 9090, false),
            ("1.1.1.1", 9090, true),
        ] {
            assert_eq!(rules.permits_at(ip(address), port), permitted, "{address} at {port}");
        }
    }
}
