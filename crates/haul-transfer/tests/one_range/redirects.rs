//! Redirects and secrets: FAILURES F-HTTP-06 to 10.

use haul_core::FaultKind;
use haul_core::messages::FetchKind;
use haul_testkit::{Content, File, Server};
use haul_transfer::Lane;
use http::{HeaderName, HeaderValue};

use crate::rig::{LEN, PATH, Rig};

#[test]
fn f_http_10_a_redirect_is_followed_and_reported() {
    let rig = Rig::new(|file| file);
    rig.server.add("/start", File::new(Content::empty()).redirect(302, "a.bin?sig=1"));
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.submitted = rig.server.url("/start").parse().expect("a URL");
    let run = rig.run(order, received);
    run.finished_at(LEN);
    assert_eq!(run.opened().final_url.as_str(), rig.server.url("/a.bin?sig=1"));
    assert_eq!(rig.server.connections(), 1);
    assert_eq!(rig.sent(PATH, "referer"), [None]);
}

#[test]
fn f_http_06_07_redirects_that_lead_nowhere_are_refused() {
    for (to, kind) in [
        (Some("/a.bin"), FaultKind::TooManyRedirects),
        (Some("file:///etc/passwd"), FaultKind::RedirectScheme),
        (Some("http://"), FaultKind::MalformedResponse),
        (None, FaultKind::MalformedResponse),
    ] {
        let rig = Rig::new(|file| {
            let file = file.redirect(301, to.unwrap_or_default());
            if to.is_none() { file.without_header("location") } else { file }
        });
        rig.probe().refused_as(kind);
        assert_eq!(rig.server.log().len(), 1);
    }
}

#[test]
fn f_http_06_ten_hops_are_followed_and_not_eleven() {
    let rig = Rig::new(|file| file);
    let hop = |n: u32| format!("/hop{n}");
    for n in 0..11 {
        rig.server.add(&hop(n), File::new(Content::empty()).redirect(307, hop(n + 1)));
    }
    rig.server.add(&hop(10), File::new(rig.content.clone()));
    for (start, followed) in [(0, true), (11, false)] {
        rig.wipe();
        if !followed {
            rig.server.add(&hop(11), File::new(Content::empty()).redirect(307, hop(0)));
        }
        let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
        order.submitted = rig.server.url(&hop(start)).parse().expect("a URL");
        let run = rig.run(order, received);
        if followed {
            run.finished_at(LEN);
        } else {
            run.refused_as(FaultKind::TooManyRedirects);
        }
    }
}

#[test]
fn f_http_09_secrets_do_not_leave_their_origin() {
    let rig = Rig::new(|file| file);
    let first = Server::start();
    first.add("/start", File::new(Content::empty()).redirect(302, rig.server.url(PATH)));
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    let start = first.url("/start").replace("http://", "http://ann:p%40ss@");
    order.submitted = start.parse().expect("a URL");
    for (name, value) in [("x-api-key", "canary"), ("cookie", "canary"), ("range", "bytes=5-6"), ("te", "gzip")] {
        order.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    order.referrer = Some(HeaderValue::from_static("http://page/"));
    order.user_agent = Some(HeaderValue::from_static("me/1"));
    rig.run(order, received).finished_at(LEN);

    let own = &first.log()[0];
    for (name, value) in [
        ("x-api-key", "canary"),
        ("cookie", "canary"),
        // ann:p@ss
        ("authorization", "Basic YW5uOnBAc3M="),
        ("referer", "http://page/"),
        ("range", "bytes=0-"),
        ("user-agent", "me/1"),
    ] {
        assert_eq!(own.header(name), Some(value), "{name}");
    }
    let mut foreign: Vec<_> = rig.server.log()[0].headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    foreign.sort();
    assert_eq!(foreign, ["accept", "accept-encoding", "host", "range", "user-agent"]);
}

#[test]
fn f_http_09_a_known_way_starts_at_its_end_and_without_secrets() {
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Range, 1000, 5000);
    order.submitted = "http://user:canary@submitted.invalid/x".parse().expect("a URL");
    order.resolved = Some(rig.server.url(PATH).parse().expect("a URL"));
    order.headers.insert("x-api-key", HeaderValue::from_static("canary"));
    rig.run(order, received).finished_at(5000);
    assert_eq!(rig.sent(PATH, "x-api-key"), [None]);
    assert_eq!(rig.sent(PATH, "authorization"), [None]);
}

#[test]
fn a_given_authorization_is_sent_once() {
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.headers.insert("authorization", HeaderValue::from_static("Bearer t"));
    rig.run(order, received).finished_at(LEN);
    let log = rig.server.log();
    let values: Vec<_> = log[0]
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(values, ["Bearer t"]);
}

#[test]
fn f_http_11_a_cookie_that_is_set_on_the_way_goes_back_to_its_own_host() {
    let rig = Rig::new(|file| file);
    rig.server.add("/start", File::new(Content::empty()).redirect(302, "a.bin").header("Set-Cookie", "session=1"));
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.submitted = rig.server.url("/start").parse().expect("a URL");
    let cookies = std::sync::Arc::clone(&order.cookies);
    rig.run(order, received).finished_at(LEN);
    assert_eq!(rig.sent("/start", "cookie"), [None]);
    // The jar is the job's: the next request has it, too.
    rig.wipe();
    let (mut order, received) = rig.order(FetchKind::Range, 1000, 5000);
    (order.cookies, order.identity) = (cookies, rig.known(None));
    rig.run(order, received).finished_at(5000);
    assert_eq!(rig.sent(PATH, "cookie"), [Some("session=1".to_owned()), Some("session=1".to_owned())]);
}
