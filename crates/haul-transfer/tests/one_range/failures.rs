//! Answers that are none, and connections that do not come about: FAILURES F-HTTP and F-NET.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use haul_core::FaultKind;
use haul_core::messages::{FetchKind, Timeouts};
use haul_testkit::{Do, When};
use haul_transfer::Lane;

use crate::rig::{LEN, PATH, Rig};

fn probed(lie: Do) -> haul_core::Fault {
    let rig = Rig::new(|file| file.fault(When::Always, lie));
    let fault = rig.probe().refused();
    assert_eq!(rig.server.requests(PATH), 1, "one request");
    fault
}

#[test]
fn f_http_01_a_permanent_status_takes_one_request() {
    for status in [400, 403, 404, 405, 410, 451, 501] {
        assert_eq!(probed(Do::status(status)).kind, FaultKind::Status(status));
    }
}

#[test]
fn f_http_12_statuses_without_a_body_for_us_are_not_written() {
    for status in [201, 202, 203 + 1, 205, 300, 304] {
        assert_eq!(probed(Do::status(status)).kind, FaultKind::Status(status));
    }
}

#[test]
fn f_http_02_retry_after_comes_along() {
    let fault = probed(Do::status_with(503, "retry-after", "17"));
    assert_eq!(fault.kind, FaultKind::Status(503));
    assert_eq!(fault.retry_after, Some(Duration::from_secs(17)));
    assert_eq!(probed(Do::status(429)).retry_after, None);
}

#[test]
fn a_refusal_leaves_its_connection_usable() {
    let rig = Rig::new(|file| file.fault(When::First(2), Do::status(503)));
    rig.probe().refused_as(FaultKind::Status(503));
    rig.probe().refused_as(FaultKind::Status(503));
    rig.probe().finished_at(LEN);
    assert_eq!(rig.server.connections(), 1);
}

#[test]
fn f_done_10_two_lengths_are_malformed() {
    assert_eq!(probed(Do::TwoLengths).kind, FaultKind::MalformedResponse);
}

#[test]
fn f_http_13_headers_without_end_are_malformed() {
    assert_eq!(probed(Do::HugeHeaders).kind, FaultKind::MalformedResponse);
}

#[test]
fn headers_that_are_none_are_malformed() {
    assert_eq!(probed(Do::GarbageHeaders).kind, FaultKind::MalformedResponse);
}

#[test]
fn a_connection_closed_in_place_of_an_answer_is_a_reset() {
    assert_eq!(probed(Do::HangUp).kind, FaultKind::Reset);
}

#[test]
fn f_http_17_the_race_of_a_kept_alive_connection_costs_nothing() {
    let rig = Rig::new(|file| file.fault(When::Every(2), Do::HangUp));
    rig.probe().finished_at(LEN);
    rig.wipe();
    rig.probe().finished_at(LEN);
    assert_eq!(rig.server.requests(PATH), 3);
}

#[test]
fn f_http_17_a_server_that_hangs_up_again_is_not_asked_a_third_time() {
    let rig = Rig::new(|file| file.fault(When::After(1), Do::HangUp));
    rig.probe().finished_at(LEN);
    rig.wipe();
    rig.probe().refused_as(FaultKind::Reset);
    assert_eq!(rig.server.requests(PATH), 3);
}

#[test]
fn no_answer_in_time_is_no_answer() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::NeverAnswer));
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.timeouts =
        Timeouts { connect: Duration::from_millis(100), response: Duration::from_millis(100), ..order.timeouts };
    rig.run(order, received).refused_as(FaultKind::NoAnswer);
}

#[test]
fn a_refused_connection_is_a_fault_of_connecting() {
    let rig = Rig::new(|file| file);
    rig.server.close_listener();
    let fault = rig.probe().refused();
    assert_eq!(fault.kind, FaultKind::Connect);
    assert!(fault.detail.starts_with("cannot connect to 127.0.0.1:"), "{}", fault.detail);
    assert!(fault.detail.contains("Connection refused"), "{}", fault.detail);
}

#[test]
fn f_net_07_an_unknown_name_is_a_fault_of_dns() {
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.submitted = "http://haul-test.invalid/?canary".parse().expect("a URL");
    rig.run(order, received).refused_as(FaultKind::Dns);
}

#[test]
fn a_server_that_does_not_speak_tls_cannot_prove_who_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("written");
        // Until the client hangs up: closing first could reset the answer away.
        std::io::copy(&mut client, &mut std::io::sink()).ok();
    });
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.submitted = url.parse().expect("a URL");
    order.client.insecure = true;
    rig.run(order, received).refused_as(FaultKind::Tls);
    server.join().expect("the server does not panic");
}

#[test]
fn f_http_07_only_http_is_transferred() {
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.submitted = "file:///etc/passwd".parse().expect("a URL");
    rig.run(order, received).refused_as(FaultKind::RedirectScheme);
}

#[test]
fn f_net_08_a_connection_that_does_not_come_about_is_given_up_in_time() {
    use rustix::net::{AddressFamily, SocketType};
    // Nobody accepts here, and the queue for one is full: further requests for a connection are not answered.
    let listener = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    rustix::net::bind(&listener, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    rustix::net::listen(&listener, 0).expect("it listens");
    let address = TcpListener::from(listener.try_clone().expect("a handle")).local_addr().expect("an address");
    let waiting: Vec<_> =
        (0..4).map_while(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok()).collect();
    assert!(waiting.len() < 4, "the queue is full");
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.submitted = format!("http://{address}/").parse().expect("a URL");
    order.timeouts = Timeouts { connect: Duration::from_millis(300), ..order.timeouts };
    let begun = std::time::Instant::now();
    rig.run(order, received).refused_as(FaultKind::Connect);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
