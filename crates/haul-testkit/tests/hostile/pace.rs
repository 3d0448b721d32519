//! Speed. Lower limits are strict; upper ones leave room for a busy machine.

use std::thread;
use std::time::{Duration, Instant};

use haul_testkit::{Content, Do, File, Line, Server, When};

use crate::client::Client;

/// How long it takes to get `path`, in seconds.
fn seconds(server: &Server, path: &str) -> f64 {
    let mut client = Client::to(server);
    let started = Instant::now();
    client.ask("GET", path, "");
    let (length, got) = client.discard();
    assert_eq!(length, got);
    started.elapsed().as_secs_f64()
}

fn assert_between(value: f64, low: f64, high: f64) {
    assert!(value >= low && value <= high, "{value} is not within {low}..{high}");
}

/// What was sent for each request, once that is so many bytes for all of them together.
fn sent_once(server: &Server, bytes: u64) -> Vec<u64> {
    let sent = |server: &Server| server.log().iter().map(|request| request.sent).collect::<Vec<u64>>();
    let is_there = server.wait_until(Duration::from_secs(30), |server| sent(server).iter().sum::<u64>() >= bytes);
    assert!(is_there, "not {bytes} bytes yet: {:?}", sent(server));
    sent(server)
}

#[test]
fn one_connection_keeps_its_rate() {
    let server = Server::start();
    for (rate, len) in [(20_000, 10_000), (1_000_000, 500_000), (50_000_000, 25_000_000)] {
        let file = File::new(Content::seeded(4, len)).rate_per_connection(rate);
        server.add("/f", file);
        assert_between(seconds(&server, "/f"), 0.49, 0.9);
    }
}

#[test]
fn rates_per_connection_add_up() {
    let server = Server::start();
    server.add("/f", File::new(Content::seeded(4, 500_000)).rate_per_connection(1_000_000));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_between(seconds(&server, "/f"), 0.49, 0.9));
        }
    });
}

#[test]
fn a_shared_rate_is_shared_fairly() {
    let server = Server::start();
    server.add("/f", File::new(Content::seeded(4, 4_000_000)).shared_rate(1_000_000));
    let started = Instant::now();
    // They read nothing: what is sent waits in the buffers of the system.
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let mut client = Client::to(&server);
            client.ask("GET", "/f", "");
            client
        })
        .collect();
    let sent = sent_once(&server, 500_000);
    let (total, most_allowed) = (sent.iter().sum::<u64>() as f64, 1e6 * started.elapsed().as_secs_f64() + 50_000.0);
    assert!(total <= most_allowed, "{total} bytes where {most_allowed} were allowed");
    let (least, most) = (sent.iter().min(), sent.iter().max());
    let (least, most) = (least.expect("16 of them"), most.expect("16 of them"));
    assert!(sent.len() == 16 && most - least <= 12_000, "{sent:?}");
    drop(clients);
}

#[test]
fn one_client_alone_has_the_whole_line() {
    let server = Server::start();
    server.add("/f", File::new(Content::seeded(4, 500_000)).shared_rate(1_000_000));
    assert_between(seconds(&server, "/f"), 0.49, 0.9);
}

#[test]
fn a_line_carries_several_files_and_changes() {
    let server = Server::start();
    let line = Line::new(100_000);
    for path in ["/a", "/b"] {
        server.add(path, File::new(Content::seeded(4, 150_000)).line(&line));
    }
    thread::scope(|scope| {
        let both = ["/a", "/b"].map(|path| {
            let server = &server;
            scope.spawn(move || seconds(server, path))
        });
        sent_once(&server, 50_000);
        line.set_rate(1_000_000);
        // 50 kB in the first half second, and 250 kB in the next quarter.
        for one in both {
            assert_between(one.join().expect("it is whole"), 0.65, 1.2);
        }
    });
}

#[test]
fn a_region_trickles_for_its_first_visitors_only() {
    let server = Server::start();
    let region = When::Region { range: 1_000_000..1_050_000, first: 2 };
    let file = File::new(Content::seeded(4, 2_000_000));
    server.add("/f", file.fault(region, Do::Trickle(100_000)));
    assert_between(seconds(&server, "/f"), 0.49, 0.9);
    assert_between(seconds(&server, "/f"), 0.49, 0.9);
    assert_between(seconds(&server, "/f"), 0.0, 0.4);
}

#[test]
fn a_trickle_starts_with_the_body() {
    let server = Server::start();
    let file = File::new(Content::seeded(4, 50));
    server.add("/f", file.fault(When::First(1), Do::Trickle(100)));
    assert_between(seconds(&server, "/f"), 0.49, 0.9);
    assert_between(seconds(&server, "/f"), 0.0, 0.4);
}

#[test]
fn what_is_counted_is_what_a_paced_client_gets() {
    let server = Server::start();
    let file = File::new(Content::seeded(4, 10_000_000)).rate_per_connection(1_000_000);
    server.add("/f", file);
    let mut client = Client::to(&server);
    client.ask("GET", "/f", "");
    let got = client.read_for(Duration::from_millis(300));
    drop(client);
    let soon = Duration::from_secs(5);
    assert!(server.wait_until(soon, |server| server.log()[0].ended.is_some()));
    let sent = server.bytes_sent("/f");
    assert!((150_000..=500_000).contains(&sent), "{sent} bytes in 0.3 s");
    assert!(sent.abs_diff(got) <= 40_000, "{sent} bytes counted, {got} received");
}

#[test]
fn without_a_pace_it_is_fast() {
    let server = Server::start();
    server.add("/f", File::new(Content::seeded(4, 200_000_000)));
    let took = seconds(&server, "/f");
    // Several times faster when the test kit is built with optimisation.
    assert!(took < 8.0, "{took} s for 200 MB");
}
