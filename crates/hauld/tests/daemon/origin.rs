//! The two hangs of the first version are gone: slow chunks harm nobody, and a slow line kills nobody.

use std::time::Instant;

use haul_api::SubmitJob;
use haul_testkit::{Content, Do, File, Server, When};

use crate::support::{Daemon, MIB, assert_chunks_tile, assert_holds, say};

/// Files of this size have 70 chunks of 4 MiB.
const SEVENTY_CHUNKS: u64 = 280 * MIB;

/// The chunk that trickles: an early one, so that three verdicts fall while its siblings are at work.
const SLOW: std::ops::Range<u64> = 8 * 4 * MIB..9 * 4 * MIB;

/// The origin's rate: far below the speed floor of 300 KB/s.
const TRICKLE: u64 = 50_000;

#[tokio::test]
async fn f_retry_01_a_chunk_that_trickles_is_struck_and_replaced_until_it_flows() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(1, SEVENTY_CHUNKS);
    let slow = When::Region { range: SLOW, first: 3 };
    // 16 connections need some 15 s: time for three verdicts.
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(1_200_000);
    server.add("/a.iso", file.fault(slow, Do::Trickle(TRICKLE)));
    let job = SubmitJob { connections: Some(16), ..SubmitJob::new(server.url("/a.iso")) };
    let id = daemon.submit_job(&job).await;
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);

    let chunks = daemon.client().chunks(id).await.expect("its chunks").chunks;
    assert_chunks_tile(&chunks, content.len());
    let struck: Vec<_> = chunks.iter().filter(|chunk| chunk.strikes > 0).map(|c| (c.start, c.strikes)).collect();
    assert!(struck.iter().all(|(start, _)| SLOW.contains(start)), "innocent chunks were struck: {struck:?}");
    // Others help a slow chunk by taking its tail, so that the three slow requests need not all be for one row.
    assert!(struck.iter().map(|(_, strikes)| strikes).sum::<u32>() >= 3, "each slow request was struck: {struck:?}");
    assert!(struck.iter().all(|(_, strikes)| *strikes <= 3), "{struck:?}");
    let (requests, again) = (server.requests("/a.iso"), server.bytes_sent_again("/a.iso"));
    say(&format!("{requests} requests, {again} bytes again, strikes {struck:?}"));
    assert!(requests <= 250, "{requests} requests for 70 chunks: something loops");
    assert!(again * 50 <= content.len(), "{again} bytes were sent again");
    assert!(daemon.log().contains("below the speed floor"));
}

#[tokio::test]
async fn a_chunk_that_trickles_for_ever_completes_all_the_same() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    // 62 chunks of 1 MiB, of which one takes 20 s on one connection, and every connection to it is as slow. The others
    // take some 16 s, and until shortly before that nobody is idle: time for a fourth verdict, were there one.
    let content = Content::seeded(2, 62 * MIB);
    let slow = 5 * MIB..6 * MIB;
    let file = File::new(content.clone()).etag("\"v1\"").rate_per_connection(260_000);
    server.add("/a.iso", file.fault(When::Region { range: slow.clone(), first: u64::MAX }, Do::Trickle(TRICKLE)));
    let job = SubmitJob { connections: Some(16), ..SubmitJob::new(server.url("/a.iso")) };
    let id = daemon.submit_job(&job).await;
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);

    let chunks = daemon.client().chunks(id).await.expect("its chunks").chunks;
    assert_chunks_tile(&chunks, content.len());
    for chunk in &chunks {
        assert!(chunk.strikes <= 3, "after three strikes the floor is waived: {chunk:?}");
        assert!(chunk.strikes == 0 || slow.contains(&chunk.start), "{chunk:?}");
    }
    assert!(chunks.iter().any(|chunk| chunk.exempt), "the slow chunk has met the floor three times");
    let requests = server.requests("/a.iso");
    assert!(requests <= 250, "{requests} requests: something loops");
}

#[tokio::test]
async fn on_a_slow_shared_line_no_connection_is_to_blame() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(3, 8_000_000);
    server.add("/a.iso", File::new(content.clone()).etag("\"v1\"").shared_rate(1_000_000));
    let begun = Instant::now();
    let id = daemon.submit(&server.url("/a.iso")).await;
    daemon.completed(id).await;
    let took = begun.elapsed().as_secs_f64();
    assert_holds(&daemon.home().downloads().join("a.iso"), &content);

    let (_, connections) = server.in_flight("/a.iso");
    let again = server.bytes_sent_again("/a.iso");
    say(&format!("{took:.2} s for 8 s of line, {connections} connections, {again} bytes again"));
    assert!(connections >= 8, "only {connections} connections shared the line");
    assert!(!daemon.log().contains("below the speed floor"), "all are slow, so none is to blame");
    let chunks = daemon.client().chunks(id).await.expect("its chunks").chunks;
    assert!(chunks.iter().all(|chunk| chunk.strikes == 0));
    assert!(again * 20 <= content.len(), "{again} bytes were sent again");
}
