//! By which way requests go: proxies, addresses, and what is secret on the way.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use haul_core::FaultKind;
use haul_core::messages::FetchKind;
use haul_testkit::{Content, File, Proxy, Server};
use haul_transfer::{ClientKey, Cookies, GivenCookie, IpVersion, Lane, Login, Network, Order, Proxy as Via};
use http::{HeaderName, HeaderValue};

use crate::rig::{LEN, PATH, Rig, Run};
use crate::tls;

/// A probe of this URL by this way.
fn by(rig: &Rig, url: &str, network: Network) -> Run {
    probe(rig, url, |order| order.client.network = network)
}

fn probe(rig: &Rig, url: &str, change: impl FnOnce(&mut Order)) -> Run {
    rig.wipe();
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.submitted = url.parse().expect("a URL");
    change(&mut order);
    rig.run(order, received)
}

fn through(scheme: &str, login: &str, proxy: &Proxy) -> Network {
    let url = format!("{scheme}://{login}{}", proxy.authority()).parse().expect("a URL");
    Network { proxy: Via::Via { url, except: None }, ..Network::default() }
}

/// The URL of the file at this host instead.
fn at_host(rig: &Rig, host: &str) -> String {
    format!("http://{host}:{}{PATH}", rig.server.port())
}

#[test]
fn an_http_proxy_passes_requests_on_and_keeps_its_password() {
    let rig = Rig::new(|file| file);
    let url = at_host(&rig, "only.the.proxy.knows.test");
    let (open, closed) = (Proxy::http(None), Proxy::http(Some("Basic YW5uOnBAc3M=")));
    by(&rig, &url, through("http", "", &open)).finished_at(LEN);
    assert_eq!(open.asked(), [format!("GET {url}")]);
    by(&rig, &url, through("http", "ann:p%40ss@", &closed)).finished_at(LEN);
    assert_eq!(rig.sent(PATH, "proxy-authorization"), [None, None]);
    for login in ["", "ann:canary@"] {
        by(&rig, &url, through("http", login, &closed)).refused_as(FaultKind::Status(407));
    }
    assert_eq!(closed.asked().len(), 1);
    assert_eq!(rig.server.requests(PATH), 2);
}

#[test]
fn tls_goes_through_an_http_proxy_unread() {
    let rig = Rig::new(|file| file);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\nConnection: close");
    let (url, ca_file) = tls::serve(&rig, "127.0.0.1", &head, true);
    let proxy = Proxy::http(Some("Basic YW5uOmI="));
    let with = |network| ClientKey { ca_file: Some(ca_file.path().to_owned()), network, ..ClientKey::default() };
    let run = probe(&rig, &url, |order| order.client = with(through("http", "ann:b@", &proxy)));
    run.finished_at(LEN);
    let authority = url.trim_start_matches("https://").trim_end_matches(PATH);
    assert_eq!(proxy.asked(), [format!("CONNECT {authority}")]);
    let run = probe(&rig, &url, |order| order.client = with(through("http", "ann:canary@", &proxy)));
    run.refused_as(FaultKind::Status(407));
}

#[test]
fn a_certificate_is_not_looked_at_where_the_user_says_so() {
    let rig = Rig::new(|file| file);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\nConnection: close");
    let (url, _ca_file) = tls::serve(&rig, "another.test", &head, true);
    let insecure = ClientKey { insecure: true, ..ClientKey::default() };
    probe(&rig, &url, |order| order.client = insecure).finished_at(LEN);
    probe(&rig, &url, |_| ()).refused_as(FaultKind::Tls);
}

#[test]
fn a_socks_proxy_resolves_names_or_is_told_addresses() {
    let rig = Rig::new(|file| file);
    let (open, closed) = (Proxy::socks5(None), Proxy::socks5(Some(("ann", "p@ss"))));
    let port = rig.server.port();
    by(&rig, &at_host(&rig, "only.the.proxy.knows.test"), through("socks5h", "", &open)).finished_at(LEN);
    by(&rig, &at_host(&rig, "localhost"), through("socks5", "", &open)).finished_at(LEN);
    assert_eq!(open.asked(), [format!("name only.the.proxy.knows.test:{port}"), format!("address 127.0.0.1:{port}")]);
    by(&rig, &at_host(&rig, "a.test"), through("socks5h", "ann:p%40ss@", &closed)).finished_at(LEN);
    for login in ["", "ann:canary@"] {
        by(&rig, &at_host(&rig, "a.test"), through("socks5h", login, &closed)).refused_as(FaultKind::Status(407));
    }
    assert_eq!(rig.server.requests(PATH), 3);
}

#[test]
fn a_proxy_that_is_gone_is_never_gone_around() {
    let rig = Rig::new(|file| file);
    let proxy = Proxy::http(None);
    let network = through("http", "", &proxy);
    drop(proxy);
    by(&rig, &rig.server.url(PATH), network).refused_as(FaultKind::Connect);
    assert_eq!(rig.server.requests(PATH), 0);
}

#[test]
fn hosts_that_are_excepted_are_asked_without_the_proxy() {
    let rig = Rig::new(|file| file);
    let proxy = Proxy::http(None);
    let Via::Via { url, .. } = through("http", "", &proxy).proxy else { panic!("there is a proxy") };
    for (except, asked) in [("localhost,127.0.0.0/8", 0), ("10.0.0.0/8,.example", 1)] {
        let via = Via::Via { url: url.clone(), except: Some(except.to_owned()) };
        by(&rig, &rig.server.url(PATH), Network { proxy: via, ..Network::default() }).finished_at(LEN);
        assert_eq!(proxy.asked().len(), asked, "{except}");
    }
}

#[test]
fn names_with_addresses_are_not_looked_up() {
    let rig = Rig::new(|file| file);
    let address: IpAddr = "127.0.0.1".parse().expect("an address");
    let addresses = Arc::new(vec![("nobody.knows.test".to_owned(), vec![address])]);
    by(&rig, &at_host(&rig, "nobody.knows.test"), Network { addresses, ..Network::default() }).finished_at(LEN);
    assert_eq!(rig.sent(PATH, "host"), [Some(format!("nobody.knows.test:{}", rig.server.port()))]);
}

#[test]
fn requests_come_from_the_address_that_was_named() {
    let rig = Rig::new(|file| file);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (told, came_from) = channel();
    std::thread::spawn(move || {
        let (_, from) = listener.accept().expect("somebody comes");
        told.send(from.ip()).ok();
    });
    let from = |text: &str| Network { source_address: text.parse().ok(), ..Network::default() };
    // It hangs up without an answer.
    assert!(by(&rig, &url, from("127.0.0.7")).opened.is_none());
    assert_eq!(came_from.recv().expect("somebody came").to_string(), "127.0.0.7");
}

#[test]
fn f_net_15_a_missing_source_address_concerns_its_job_alone() {
    let rig = Rig::new(|file| file);
    let network = Network { source_address: "192.0.2.1".parse().ok(), ..Network::default() };
    let fault = by(&rig, &rig.server.url(PATH), network).refused();
    assert_eq!(fault.kind, FaultKind::Connect, "not that of a machine without ports");
    assert!(fault.detail.contains("`source_address` 192.0.2.1"), "{}", fault.detail);
}

#[test]
fn one_version_of_addresses_rules_the_other_out() {
    let rig = Rig::new(|file| file);
    let only = |ip_version| Network { ip_version, ..Network::default() };
    by(&rig, &rig.server.url(PATH), only(IpVersion::V4)).finished_at(LEN);
    by(&rig, &rig.server.url(PATH), only(IpVersion::V6)).refused_as(FaultKind::Connect);
    by(&rig, &at_host(&rig, "localhost"), only(IpVersion::V4)).finished_at(LEN);
    assert!(by(&rig, &at_host(&rig, "localhost"), only(IpVersion::V6)).opened.is_none());
    assert_eq!(rig.server.requests(PATH), 2);
}

#[test]
fn f_http_09_a_password_of_the_settings_stays_on_its_origin() {
    let (rig, other) = (Rig::new(|file| file), Server::start());
    let login = || Some(Login { user: "ann".to_owned(), password: Some("canary".to_owned()) });
    rig.server.add("/here", File::new(Content::empty()).redirect(302, PATH));
    rig.server.add("/there", File::new(Content::empty()).redirect(302, other.url("/x")));
    other.add("/x", File::new(rig.content.clone()));
    probe(&rig, &rig.server.url("/here"), |order| order.login = login()).finished_at(LEN);
    probe(&rig, &rig.server.url("/there"), |order| order.login = login()).finished_at(LEN);
    let basic = Some("Basic YW5uOmNhbmFyeQ==".to_owned());
    assert_eq!(
        (rig.sent("/here", "authorization"), rig.sent(PATH, "authorization")),
        (vec![basic.clone()], vec![basic])
    );
    assert_eq!(other.log()[0].header("authorization"), None);
    // Whoever brings their own is asked as they want it.
    let with_user = rig.server.url(PATH).replace("http://", "http://bob:b@");
    probe(&rig, &with_user, |order| order.login = login()).finished_at(LEN);
    assert_eq!(rig.sent(PATH, "authorization")[1].as_deref(), Some("Basic Ym9iOmI="));
}

#[test]
fn f_http_11_given_cookies_reach_their_hosts_alone_also_behind_redirects() {
    let (rig, other) = (Rig::new(|file| file), Server::start());
    let elsewhere = format!("http://localhost:{}/x", other.port());
    rig.server.add("/start", File::new(Content::empty()).redirect(302, elsewhere));
    other.add("/x", File::new(rig.content.clone()));
    let cookie = |name: &str, domain: &str| GivenCookie {
        name: name.to_owned(),
        value: "1".to_owned(),
        domain: domain.to_owned(),
        host_only: true,
        path: "/".to_owned(),
        secure: false,
    };
    let given = [cookie("here", "127.0.0.1"), cookie("there", "localhost"), cookie("nowhere", "a.test")];
    let cookies = Arc::new(Cookies::with(&given).expect("good cookies"));
    probe(&rig, &rig.server.url("/start"), |order| order.cookies = cookies).finished_at(LEN);
    assert_eq!(rig.sent("/start", "cookie"), [Some("here=1".to_owned())]);
    assert_eq!(other.log()[0].header("cookie"), Some("there=1"));
}

#[test]
fn a_post_carries_its_body_to_its_own_origin_alone() {
    let (rig, other) = (Rig::new(|file| file), Server::start());
    other.add("/x", File::new(rig.content.clone()));
    let post = |path: &str| {
        probe(&rig, &rig.server.url(path), |order| {
            order.post = Some(Bytes::from_static(b"a=canary"));
            let content_type = HeaderValue::from_static("text/x");
            order.headers.insert(HeaderName::from_static("content-type"), content_type);
        })
    };
    for (path, status, to) in [
        ("/303", 303, PATH.to_owned()),
        ("/307", 307, PATH.to_owned()),
        ("/away-303", 303, other.url("/x")),
        ("/away-307", 307, other.url("/x")),
    ] {
        rig.server.add(path, File::new(Content::empty()).redirect(status, to));
    }
    let run = post(PATH);
    run.finished_at(LEN);
    assert!(run.opened().by_post);
    let run = post("/303");
    run.finished_at(LEN);
    assert!(!run.opened().by_post, "it leads to something that is there for everybody");
    let run = post("/307");
    run.finished_at(LEN);
    assert!(run.opened().by_post);
    let asked: Vec<_> = rig.server.log().iter().filter(|request| request.path == PATH).cloned().collect();
    let bodies: Vec<_> = asked.iter().map(|request| (request.method.as_str(), request.body.as_slice())).collect();
    assert_eq!(bodies, [("POST", &b"a=canary"[..]), ("GET", b""), ("POST", b"a=canary")]);
    assert_eq!((asked[0].header("content-type"), asked[1].header("content-type")), (Some("text/x"), None));
    post("/away-303").finished_at(LEN);
    post("/away-307").refused_as(FaultKind::NotRepeatable);
    let elsewhere = other.log();
    assert_eq!(elsewhere.len(), 1);
    assert_eq!((elsewhere[0].method.as_str(), elsewhere[0].body.as_slice()), ("GET", &b""[..]));
    assert_eq!(elsewhere[0].header("content-type"), None);
}

#[test]
fn where_a_post_has_led_elsewhere_that_is_asked_by_get() {
    let rig = Rig::new(|file| file);
    let resolved = rig.server.url(PATH).parse().ok();
    let run = probe(&rig, &rig.server.url("/form"), |order| {
        order.post = Some(Bytes::from_static(b"a=1"));
        order.resolved = resolved;
    });
    run.finished_at(LEN);
    assert_eq!(rig.server.log().iter().map(|request| request.method.clone()).collect::<Vec<_>>(), ["GET"]);
}
