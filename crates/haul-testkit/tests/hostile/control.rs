//! What the handle does while clients are there.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use haul_testkit::{Content, Do, File, Server, When};

use crate::client::{Client, End};

const SOON: Duration = Duration::from_secs(5);

fn serving(file: File) -> Server {
    let server = Server::start();
    server.add("/f", file);
    server
}

#[test]
fn a_replaced_file_is_another_one_from_the_next_request_on() {
    let (old, new) = (Content::seeded(5, 400_000), Content::seeded(6, 400_000));
    let server = serving(File::new(old.clone()).rate_per_connection(2_000_000));
    let mut client = Client::to(&server);
    client.ask("GET", "/f", "");
    assert!(server.wait_until(SOON, |server| server.bytes_sent("/f") > 0));
    server.replace("/f", File::new(new.clone()).etag("\"new\""));
    assert_eq!(client.answer(false).body, old.bytes());
    let second = client.get("/f", "");
    assert_eq!(second.body, new.bytes());
    assert_eq!(second.header("etag"), Some("\"new\""));
}

#[test]
fn connections_can_be_refused_by_a_reset() {
    let server = serving(File::new(Content::empty()));
    server.refuse_connections(true);
    let mut refused = TcpStream::connect(("127.0.0.1", server.port())).expect("it listens");
    let error = refused.read(&mut [0]).expect_err("it is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!((server.connections(), server.connections_max()), (1, 0));
    server.refuse_connections(false);
    assert!(Client::to(&server).get("/f", "").is_whole(200));
}

#[test]
fn the_listener_can_be_closed_and_opened_on_the_same_port() {
    let server = serving(File::new(Content::empty()));
    let mut early = Client::to(&server);
    assert!(early.get("/f", "").is_whole(200));
    for _ in 0..3 {
        server.close_listener();
        server.close_listener();
        let error = TcpStream::connect(("127.0.0.1", server.port())).expect_err("it is closed");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(early.get("/f", "").is_whole(200));
        server.reopen_listener();
        server.reopen_listener();
        assert!(Client::to(&server).get("/f", "").is_whole(200));
    }
}

#[test]
fn open_connections_can_be_reset() {
    let server = serving(File::new(Content::seeded(5, 1000)).fault(When::First(1), Do::StallAfter(9)));
    let mut clients = [(); 2].map(|()| Client::to(&server));
    clients[0].ask("GET", "/f", "");
    assert!(server.wait_until(SOON, |server| server.bytes_sent("/f") == 9));
    assert!(server.wait_until(SOON, |server| server.connections_open() == 2));
    server.reset_connections();
    assert_eq!(server.connections_open(), 0);
    for client in &mut clients {
        assert_eq!(client.rest(&mut Vec::new()), End::Reset);
    }
    assert!(Client::to(&server).get("/f", "").is_whole(200));
}

#[test]
fn connections_are_counted() {
    let server = serving(File::new(Content::empty()));
    for _ in 0..2 {
        let mut three = [(); 3].map(|()| Client::to(&server));
        for client in &mut three {
            assert!(client.get("/f", "").is_whole(200));
        }
        drop(three);
        assert!(server.wait_until(SOON, |server| server.connections_open() == 0));
    }
    assert_eq!((server.connections(), server.connections_max()), (6, 3));
}

#[test]
fn a_crowded_file_turns_requests_away() {
    let file = File::new(Content::seeded(5, 100_000)).rate_per_connection(200_000);
    let server = serving(file.max_connections(2, 429));
    let mut clients = [(); 2].map(|()| Client::to(&server));
    for client in &mut clients {
        client.ask("GET", "/f", "");
    }
    assert!(server.wait_until(SOON, |server| server.in_flight("/f").0 == 2));
    assert!(Client::to(&server).get("/f", "").is_whole(429));
    assert!(clients.iter_mut().all(|client| client.answer(false).is_whole(200)));
    assert!(Client::to(&server).get("/f", "").is_whole(200));
    assert_eq!(server.in_flight("/f").1, 2);
    assert_eq!(server.requests("/f"), 4);
}

#[test]
fn a_client_that_leaves_makes_room_at_once() {
    let file = File::new(Content::seeded(5, 100)).fault(When::Always, Do::StallAfter(1));
    let server = serving(file.max_connections(1, 429));
    let mut client = Client::to(&server);
    client.ask("GET", "/f", "");
    assert!(server.wait_until(SOON, |server| server.in_flight("/f").0 == 1));
    drop(client);
    assert!(server.wait_until(SOON, |server| server.in_flight("/f").0 == 0));
}

#[test]
fn many_clients_at_once_get_the_right_bytes() {
    let content = Content::seeded(5, 6_400_000);
    let server = serving(File::new(content.clone()));
    let all = content.bytes();
    thread::scope(|scope| {
        for (n, part) in all.chunks(50_000).enumerate() {
            let server = &server;
            scope.spawn(move || {
                let range = format!("{}-{}", n * 50_000, n * 50_000 + 49_999);
                assert!(Client::to(server).range("/f", &range).body == part);
            });
        }
    });
    assert_eq!((server.bytes_sent("/f"), server.bytes_sent_again("/f")), (6_400_000, 0));
    assert!(server.log().iter().all(|request| request.complete));
}

#[test]
fn waiting_ends_with_the_deadline() {
    let server = Server::start();
    assert!(!server.wait_until(Duration::from_millis(20), |server| server.connections() > 0));
}

#[tokio::test]
async fn it_serves_async_tests_on_one_thread() {
    let server = Server::start();
    let client = tokio::net::TcpStream::connect(("127.0.0.1", server.port()));
    let client = client.await.expect("it listens");
    assert!(server.wait_until_async(SOON, |server| server.connections_open() == 1).await);
    drop(client);
    assert!(server.wait_until_async(SOON, |server| server.connections_open() == 0).await);
}

#[test]
fn dropping_it_ends_everything() {
    let server = serving(File::new(Content::seeded(5, 10)).fault(When::Always, Do::NeverAnswer));
    let port = server.port();
    let mut client = Client::to(&server);
    client.ask("GET", "/f", "");
    assert!(server.wait_until(SOON, |server| server.requests("/f") == 1));
    drop(server);
    assert_ne!(client.rest(&mut Vec::new()), End::Silence);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
