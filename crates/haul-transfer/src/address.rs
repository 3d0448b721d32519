//! Which addresses belong to the public internet, and a resolver that knows no others (FAILURES.md, F-SEC-10 to 12).
//!
//! A job that may reach public addresses only is checked at each hop: the address in the URL itself, which no resolver sees,
//! and all answers for a name, at the moment of connecting. The client connects to the answers that were checked and asks
//! no second time, so a name cannot mean one address for the check and another for the connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use haul_core::{Fault, FaultKind};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::request::host_of;
use crate::{Escaped, Proxy};

/// An address that is not of the public internet. Does not tell which: who may not reach it need not learn it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("its address is not a public one, and this job may reach public addresses only")]
pub(crate) struct ForbiddenAddress;

/// Resolves names as usual, and refuses those with an answer that is not public.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The client puts the right port in.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().all(|address| is_public(address.ip())) {
                Ok(Box::new(found.into_iter()) as Addrs)
            } else {
                Err(ForbiddenAddress.into())
            }
        })
    }
}

/// Refuses a request that would not be checked on its way, or goes to an address that is not public.
pub(crate) fn check(url: &Url, proxy: &Proxy) -> Result<(), Fault> {
    if *proxy != Proxy::None {
        let detail = "this job may reach public addresses only, and whom a proxy reaches cannot be told";
        return Err(Fault::new(FaultKind::TargetAddressForbidden, detail));
    }
    check_literal(url)
}

/// Refuses a URL whose host is an address that is not public. A name is checked when it is resolved.
fn check_literal(url: &Url) -> Result<(), Fault> {
    if literal(url).is_none_or(is_public) {
        return Ok(());
    }
    let detail = format!("cannot connect to {}: {ForbiddenAddress}", Escaped(host_of(url).as_bytes()));
    Err(Fault::new(FaultKind::TargetAddressForbidden, detail))
}

/// The address that is a URL's host, where it is none that has a name. The parser has read all its spellings.
#[must_use]
pub fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    }
}

/// Whether an address is one of the public internet. What stands for another address is judged as that one.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|&(network, bits)| {
        let mask = u32::MAX << (32 - bits);
        address.to_bits() & mask == Ipv4Addr::from(network).to_bits()
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let v4_at = |segment: usize| {
        let [a, b] = [segments[segment], segments[segment + 1]].map(u16::to_be_bytes);
        Ipv4Addr::new(a[0], a[1], b[0], b[1])
    };
    match segments {
        // Mapped, and the prefix by which a gateway reaches IPv4 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(v4_at(6)),
        // 6to4 (RFC 3056).
        [0x2002, ..] => is_public_v4(v4_at(1)),
        // Protocol assignments, Teredo and benchmarks among them; documentation (RFC 3849, RFC 9637).
        [0x2001, 0..0x200 | 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,
        // All that is assigned for global use: link-local, unique local and multicast addresses lie beyond it.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// What IANA's registry of special addresses has, and what clouds have put elsewhere.
const NOT_PUBLIC_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    // Shared by carriers; the metadata service of Alibaba.
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Link-local: the metadata services of most clouds.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    // Protocol assignments; the metadata service of Oracle.
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, and what is reserved up to the broadcast address.
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    // The host agent of Azure, public by its number only.
    ([168, 63, 129, 16], 32),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_sec_10_11_only_addresses_of_the_public_internet_are_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2002:c0a8:101::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "3fff::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "168.63.129.15",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "3ffe::1",
        ] {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn f_sec_11_every_spelling_of_an_address_is_judged_as_that_address() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://127.0.0.1:80/",
            "http://u:p@127.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
            "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "http://0/",
            "http://169.254.43518/",
            "http:\\\\127.0.0.1\\x",
        ] {
            let fault = check_literal(&Url::parse(url).expect("a URL")).expect_err(url);
            assert_eq!(fault.kind, FaultKind::TargetAddressForbidden, "{url}");
        }
        for url in ["http://1.1.1.1/", "http://[2606:4700::1]/", "http://127.0.0.1.example/", "http://localhost/"] {
            check_literal(&Url::parse(url).expect("a URL")).expect("no address, or a public one");
        }
    }

    #[test]
    fn f_sec_10_a_way_through_a_proxy_is_no_way_for_the_confined() {
        let public = Url::parse("http://1.1.1.1/").expect("a URL");
        check(&public, &Proxy::None).expect("it is public");
        let url = Url::parse("http://1.1.1.1:3128").expect("a URL");
        for proxy in [Proxy::Environment, Proxy::Via { url, except: None }] {
            let fault = check(&public, &proxy).expect_err("nobody can tell whom it reaches");
            assert_eq!(fault.kind, FaultKind::TargetAddressForbidden);
        }
    }
}
