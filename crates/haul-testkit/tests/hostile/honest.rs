//! Without faults it is an ordinary server.

use haul_testkit::{Content, File, Server};

use crate::client::{Client, End};

fn serving(file: File) -> (Server, Client) {
    let server = Server::start();
    server.add("/f", file);
    let client = Client::to(&server);
    (server, client)
}

fn content() -> Content {
    Content::seeded(1, 1_000_003)
}

#[test]
fn requests_share_a_connection_and_are_logged() {
    let (server, mut client) = serving(File::new(content()));
    let first = client.get("/f?sign=1", "X-Who: me\r\n");
    assert!(first.is_whole(200));
    assert_eq!(first.body, content().bytes());
    assert_eq!(first.header("content-type"), Some("application/octet-stream"));
    assert_eq!(first.header("accept-ranges"), Some("bytes"));
    assert!(first.header("date").is_some_and(|date| date.ends_with(" GMT")));
    assert!(client.range("/f", "5-9").is_whole(206));

    let log = server.log();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0].query.as_deref(), Some("sign=1"));
    assert_eq!(log[0].header("x-who"), Some("me"));
    assert_eq!((log[0].status, log[0].sent, log[0].range), (200, 1_000_003, None));
    assert_eq!((log[1].status, log[1].sent, log[1].range), (206, 5, Some((5, Some(9)))));
    assert_eq!(log[1].covered(), 5..10);
    assert!(log.iter().all(|request| request.complete && request.connection == 1));
    assert!(log[0].at <= log[1].at);
    assert_eq!(server.bytes_sent("/f"), 1_000_008);
    assert_eq!(server.bytes_sent_again("/f"), 5);
    assert_eq!((server.requests("/f"), server.connections()), (2, 1));
}

#[test]
fn a_client_that_asks_for_it_is_disconnected() {
    let (_server, mut client) = serving(File::new(content()));
    assert!(client.get("/f", "Connection: close\r\n").is_whole(200));
    assert_eq!(client.rest(&mut Vec::new()), End::Fin);
}

#[test]
fn requests_may_be_sent_ahead() {
    let (_server, mut client) = serving(File::new(content()));
    client.ask("GET", "/f", "Range: bytes=0-3\r\n");
    client.ask("GET", "/f", "Range: bytes=4-7\r\n");
    let both = [client.answer(false).body, client.answer(false).body].concat();
    assert_eq!(both, content().bytes()[..8]);
}

#[test]
fn ranges_bring_their_bytes() {
    let (_server, mut client) = serving(File::new(content()));
    let all = content().bytes();
    for (asked, got, said) in [
        ("0-", 0..1_000_003, "bytes 0-1000002/1000003"),
        ("999999-", 999_999..1_000_003, "bytes 999999-1000002/1000003"),
        ("3-3", 3..4, "bytes 3-3/1000003"),
        ("7-2000000", 7..1_000_003, "bytes 7-1000002/1000003"),
        ("-2", 1_000_001..1_000_003, "bytes 1000001-1000002/1000003"),
    ] {
        let answer = client.range("/f", asked);
        assert!(answer.is_whole(206), "{asked}");
        assert_eq!(answer.header("content-range"), Some(said));
        assert_eq!(answer.body, all[got], "{asked}");
    }
}

#[test]
fn what_cannot_be_satisfied_is_416() {
    let (server, mut client) = serving(File::new(content()));
    server.add("/empty", File::new(Content::empty()));
    let beyond = client.range("/f", "1000003-");
    assert!(beyond.is_whole(416));
    assert_eq!(beyond.header("content-range"), Some("bytes */1000003"));
    for range in ["0-", "0-0", "-1"] {
        let empty = client.range("/empty", range);
        assert!(empty.is_whole(416));
        assert_eq!(empty.header("content-range"), Some("bytes */0"));
    }
    let empty = client.get("/empty", "");
    assert!(empty.is_whole(200));
    assert_eq!(empty.header("content-length"), Some("0"));
    assert!(server.log().iter().all(|request| request.complete));
}

#[test]
fn head_brings_no_body() {
    let (server, mut client) = serving(File::new(content()).etag("\"a\""));
    client.ask("HEAD", "/f", "");
    let answer = client.answer(true);
    assert_eq!(answer.header("content-length"), Some("1000003"));
    assert_eq!(answer.header("etag"), Some("\"a\""));
    assert!(client.range("/f", "0-0").is_whole(206));
    assert!(server.log()[0].complete);
    assert_eq!(server.bytes_sent("/f"), 1);
}

#[test]
fn if_range_decides_between_part_and_whole() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let (server, mut client) = serving(File::new(content()).etag("\"a\"").last_modified(date));
    server.add("/weak", File::new(content()).etag("W/\"a\""));
    server.add("/bare", File::new(content()));
    let mut status = |path: &str, validator: &str| {
        let headers = format!("Range: bytes=0-9\r\nIf-Range: {validator}\r\n");
        client.get(path, &headers).status
    };
    assert_eq!(status("/f", "\"a\""), 206);
    assert_eq!(status("/f", date), 206);
    assert_eq!(status("/f", "\"b\""), 200);
    assert_eq!(status("/f", "Sun, 06 Nov 1994 08:49:38 GMT"), 200);
    assert_eq!(status("/weak", "W/\"a\""), 200);
    assert_eq!(status("/bare", "\"a\""), 200);
}

#[test]
fn files_without_a_length_are_chunked_or_end_by_closing() {
    let (server, mut client) = serving(File::new(content()).chunked());
    server.add("/close", File::new(content()).close_delimited());
    server.add("/empty", File::new(Content::empty()).chunked());
    assert!(client.get("/empty", "").is_whole(200));
    let chunked = client.range("/f", "5-9");
    assert!(chunked.is_whole(200));
    assert_eq!(chunked.body, content().bytes());
    assert_eq!(chunked.header("content-length"), None);

    let closed = client.range("/close", "5-9");
    assert_eq!((closed.status, closed.end), (200, End::Fin));
    assert_eq!(closed.body, content().bytes());
    assert_eq!(closed.header("content-length"), None);
    assert!(server.log().iter().all(|request| request.complete));
}

#[test]
fn a_server_may_know_no_ranges() {
    let (server, mut client) = serving(File::new(content()).no_ranges());
    server.add("/none", File::new(content()).accept_ranges_none());
    let silent = client.range("/f", "5-9");
    assert!(silent.is_whole(200));
    assert_eq!(silent.header("accept-ranges"), None);
    let outspoken = client.range("/none", "5-9");
    assert!(outspoken.is_whole(200));
    assert_eq!(outspoken.header("accept-ranges"), Some("none"));
}

#[test]
fn headers_are_added_replaced_and_left_out() {
    let file = File::new(Content::literal("hello"))
        .content_type("text/plain")
        .header("Content-Disposition", "attachment; filename=a")
        .header("date", "never")
        .without_header("Accept-Ranges");
    let (_server, mut client) = serving(file);
    let answer = client.get("/f", "");
    assert_eq!(answer.body, b"hello");
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=a"));
    assert_eq!(answer.header("date"), Some("never"));
    assert_eq!(answer.header("accept-ranges"), None);
}

#[test]
fn redirects_say_where_to() {
    let (_server, mut client) = serving(File::new(Content::empty()).redirect(302, "/g?x"));
    let answer = client.get("/f", "");
    assert!(answer.is_whole(302));
    assert_eq!(answer.header("location"), Some("/g?x"));
}

#[test]
fn other_paths_and_methods_get_their_status() {
    let (server, mut client) = serving(File::new(content()));
    assert!(client.get("/g", "").is_whole(404));
    client.ask("PUT", "/f", "");
    assert!(client.answer(false).is_whole(405));
    server.remove("/f");
    assert!(client.get("/f", "").is_whole(404));
    assert_eq!(server.requests("/g"), 1);
}
