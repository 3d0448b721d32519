//! No network at all, in a network of the test's own.

use std::process::{Command, Output};

use haul_api::{JobState, SubmitJob, WaitingFor};
use haul_testkit::{Content, File, Server};

use crate::support::{Daemon, MIB, assert_holds, say};

/// Set within that network.
const INSIDE: &str = "HAUL_TEST_NETWORK";

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("`ip` can be run");
    assert!(output.status.success(), "{output:?}");
}

/// Runs one test of this program in a network that has nothing but a loopback device, which is down.
fn inside(test: &str) -> Option<Output> {
    let here = std::env::current_exe().expect("the test's own program");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]).arg(here).args(["--exact", test, "--nocapture"]);
    let output = command.env(INSIDE, "1").output().ok()?;
    let refused = String::from_utf8_lossy(&output.stderr).starts_with("unshare:");
    (!refused).then_some(output)
}

#[tokio::test]
async fn f_net_10_without_a_network_all_jobs_wait_for_it_and_go_on_when_it_is_back() {
    if std::env::var_os(INSIDE).is_none() {
        let name = "network::f_net_10_without_a_network_all_jobs_wait_for_it_and_go_on_when_it_is_back";
        match inside(name) {
            Some(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
            None => say("skipped: this machine gives no test a network of its own"),
        }
        return;
    }
    ip(&["link", "set", "lo", "up"]);
    let settings = "stall_timeout = \"1s\"\nretry_limit = 2";
    let (daemon, servers) = (Daemon::with(settings).await, [Server::start(), Server::start()]);
    let contents = [61, 62].map(|seed| Content::seeded(seed, 12 * MIB));
    let mut ids = Vec::new();
    for (index, (server, content)) in servers.iter().zip(&contents).enumerate() {
        server.add("/file", File::new(content.clone()).etag("\"v1\"").shared_rate(3_000_000));
        let name = Some(format!("{index}.bin"));
        ids.push(daemon.submit_job(&SubmitJob { filename: name, ..SubmitJob::new(server.url("/file")) }).await);
    }
    for id in &ids {
        daemon.until(*id, "some bytes are there", |job| job.done_bytes > MIB).await;
    }
    ip(&["link", "set", "lo", "down"]);
    for id in &ids {
        let job = daemon.until(*id, "it waits", |job| job.waiting_for == Some(WaitingFor::Network)).await;
        assert_eq!(job.state, JobState::Waiting);
        let reason = job.reason.expect("it says why");
        assert_eq!(reason.code, "offline");
        assert!(reason.message.contains("no network"), "{}", reason.message);
    }
    let why = daemon.client().why(ids[0]).await.expect("it can be explained");
    assert!(why.summary.contains("there is no network"), "{}", why.summary);
    ip(&["link", "set", "lo", "up"]);
    for (index, id) in ids.into_iter().enumerate() {
        daemon.completed(id).await;
        assert_holds(&daemon.home().downloads().join(format!("{index}.bin")), &contents[index]);
        assert!(servers[index].bytes_sent_again("/file") < 6 * MIB, "what was there is kept");
    }
}

#[tokio::test]
async fn f_net_14_a_proxy_that_the_environment_names_is_not_asked() {
    if std::env::var_os(INSIDE).is_none() {
        let here = std::env::current_exe().expect("the test's own program");
        let mut command = Command::new(here);
        command.args(["--exact", "network::f_net_14_a_proxy_that_the_environment_names_is_not_asked", "--nocapture"]);
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
            // Nobody listens there.
            command.env(name, "http://127.0.0.1:9");
        }
        let output = command.env(INSIDE, "1").output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let (daemon, server) = (Daemon::with("retry_limit = 1").await, Server::start());
    let content = Content::seeded(63, MIB);
    server.add("/a.bin", File::new(content.clone()));
    daemon.completed(daemon.submit(&server.url("/a.bin")).await).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}
