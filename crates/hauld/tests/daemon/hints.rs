//! What servers say about a file's digest is verified, unless its user knows better, and mirrors that they name are used
//! where a digest tells what they are worth.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haul_api::{Job, MirrorState, SubmitJob, Verification};
use haul_testkit::{Content, File, Server};

use crate::support::{DEADLINE, Daemon, MIB, assert_holds};

/// `Repr-Digest` with the SHA-256 of no bytes: wrong for every file but the empty one.
const OF_NOTHING: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

/// `abc`, and what two generations of servers say of it.
const DIGESTS_OF_ABC: [(&str, &str); 2] = [
    ("Repr-Digest", "md5=:kAFQmDzST7DWlj99KOF/cg==:, sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"),
    ("Digest", "MD5=kAFQmDzST7DWlj99KOF/cg==,SHA-256=ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
];

#[tokio::test]
async fn the_digest_that_a_server_tells_is_verified() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    for (header, value) in DIGESTS_OF_ABC {
        let path = format!("/{header}");
        server.add(&path, File::new(Content::literal("abc")).header(header, value));
        let job = daemon.completed(daemon.submit(&server.url(&path)).await).await;
        assert_eq!(job.verification, Some(Verification::Checksum), "{header}");
        let sha256 = format!("sha-256:{}", Content::literal("abc").sha256());
        assert_eq!(job.checksum, Some(sha256), "{header}");
    }
}

#[tokio::test]
async fn a_file_without_the_digest_that_its_server_told_fails_and_says_whose_it_was() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(41, 3 * MIB);
    server.add("/a.bin", File::new(content.clone()).header("Repr-Digest", OF_NOTHING));
    let reason = daemon.failed(daemon.submit(&server.url("/a.bin")).await).await;
    assert_eq!(reason.code, "checksum-mismatch");
    for part in ["the server said sha-256:e3b0c442", &content.sha256(), ".haul-part"] {
        assert!(reason.message.contains(part), "{part}: {}", reason.message);
    }
    assert!(!daemon.home().downloads().join("a.bin").exists());
    assert_holds(&daemon.home().part(), &content);
}

#[tokio::test]
async fn the_users_checksum_overrules_the_servers() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(42, 3 * MIB);
    server.add("/a.bin", File::new(content.clone()).header("Repr-Digest", OF_NOTHING));
    let checksum = format!("sha-256:{}", content.sha256());
    let job = SubmitJob { checksum: Some(checksum.clone()), ..SubmitJob::new(server.url("/a.bin")) };
    let job = daemon.completed(daemon.submit_job(&job).await).await;
    assert_eq!((job.checksum, job.verification), (Some(checksum), Some(Verification::Checksum)));
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}

#[tokio::test]
async fn the_servers_digest_survives_a_kill_and_a_server_that_says_nothing_any_more() {
    let (server, mut daemon) = (Server::start(), Daemon::start().await);
    let content = Content::seeded(43, 8 * MIB);
    let file = File::new(content.clone()).etag("\"v1\"");
    server.add("/a.bin", file.clone().header("Repr-Digest", OF_NOTHING).shared_rate(4_000_000));
    let id = daemon.submit(&server.url("/a.bin")).await;
    daemon.until(id, "bytes are durable", |job| job.durable_bytes > 0).await;
    daemon.kill();
    server.replace("/a.bin", file);
    daemon.restart().await;
    let reason = daemon.failed(id).await;
    assert!(reason.message.contains("the server said sha-256:e3b0c442"), "{}", reason.message);
    let again = server.bytes_sent_again("/a.bin");
    assert!(again < 2 * content.len(), "it went on where it was, and then all of it was fetched once more: {again}");
}

#[tokio::test]
async fn a_changed_file_is_compared_with_its_own_digest() {
    let (server, daemon) = (Server::start(), Daemon::start().await);
    let (old, new) = (Content::seeded(44, 8 * MIB), Content::seeded(45, 8 * MIB + 1));
    let old = File::new(old).etag("\"v1\"").header("Repr-Digest", OF_NOTHING).shared_rate(2_000_000);
    server.add("/a.bin", old);
    let id = daemon.submit(&server.url("/a.bin")).await;
    assert!(server.wait_until(DEADLINE, |server| server.bytes_sent("/a.bin") > MIB));
    server.replace("/a.bin", File::new(new.clone()).etag("\"v2\""));
    server.reset_connections();
    let job = daemon.completed(id).await;
    assert_eq!((job.checksum, job.verification), (None, Some(Verification::Validator)));
    assert_holds(&daemon.home().downloads().join("a.bin"), &new);
}

/// A slow server that names a fast one, and says a digest or none.
fn slow_that_names_a_fast_one(content: &Content, digest: Option<&str>) -> (Server, Server) {
    let (slow, fast) = (Server::start(), Server::start());
    fast.add("/m.bin", File::new(content.clone()).etag("\"m\"").shared_rate(12_000_000));
    let file = File::new(content.clone()).etag("\"v1\"").shared_rate(3_000_000);
    let file = file.header("Link", format!("<{}>; rel=duplicate; pri=1", fast.url("/m.bin")));
    slow.add(
        "/a.bin",
        match digest {
            Some(digest) => file.header("Repr-Digest", digest),
            None => file,
        },
    );
    (slow, fast)
}

fn repr_digest(content: &Content) -> String {
    let hex = content.sha256();
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
    format!("sha-256=:{}:", STANDARD.encode(bytes))
}

fn has_proven_mirror(job: &Job) -> bool {
    job.mirrors.get(1).is_some_and(|mirror| mirror.state == Some(MirrorState::Proven) && mirror.done_bytes > Some(0))
}

#[tokio::test]
async fn a_mirror_that_the_server_names_with_a_digest_contributes_once_it_is_proven() {
    let mut daemon = Daemon::start().await;
    let content = Content::seeded(46, 24 * MIB);
    let (slow, fast) = slow_that_names_a_fast_one(&content, Some(&repr_digest(&content)));
    let id = daemon.submit(&slow.url("/a.bin")).await;
    let job = daemon.until(id, "the mirror gives something", has_proven_mirror).await;
    assert_eq!(job.mirrors[1].url, fast.url("/m.bin"));
    daemon.kill();
    daemon.restart().await;
    let job = daemon.completed(id).await;
    assert_eq!((job.mirrors.len(), job.verification), (2, Some(Verification::Checksum)), "it is kept with the job");
    assert!(fast.bytes_sent("/m.bin") > MIB, "{} bytes", fast.bytes_sent("/m.bin"));
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}

#[tokio::test]
async fn the_users_checksum_makes_named_mirrors_worth_trying_even_for_one_connection() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(47, 8 * MIB);
    let (slow, _fast) = slow_that_names_a_fast_one(&content, None);
    let checksum = Some(format!("sha256:{}", content.sha256()));
    let job = SubmitJob { checksum, connections: Some(1), ..SubmitJob::new(slow.url("/a.bin")) };
    let job = daemon.completed(daemon.submit_job(&job).await).await;
    assert_eq!((job.mirrors.len(), job.verification), (2, Some(Verification::Checksum)));
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}

#[tokio::test]
async fn mirrors_that_are_named_without_a_digest_are_ignored() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(48, 8 * MIB);
    let (slow, fast) = slow_that_names_a_fast_one(&content, None);
    let job = daemon.completed(daemon.submit(&slow.url("/a.bin")).await).await;
    assert_eq!((job.mirrors.len(), job.verification), (1, Some(Verification::Validator)));
    assert_eq!(fast.requests("/m.bin"), 0);
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}

#[tokio::test]
async fn a_lying_digest_beside_mirrors_is_told_and_not_tried_for_ever() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(49, 12 * MIB);
    let (slow, _fast) = slow_that_names_a_fast_one(&content, Some(OF_NOTHING));
    let id = daemon.submit(&slow.url("/a.bin")).await;
    let reason = daemon.failed(id).await;
    assert_eq!(reason.code, "checksum-mismatch");
    for part in ["the server said sha-256:e3b0c442", &content.sha256(), "a `checksum` of your own", ".haul-part"] {
        assert!(reason.message.contains(part), "{part}: {}", reason.message);
    }
    assert_holds(&daemon.home().part(), &content);
}

#[tokio::test]
async fn more_mirrors_than_are_of_use_are_not_kept() {
    let daemon = Daemon::start().await;
    let content = Content::seeded(50, MIB);
    let server = Server::start();
    let links: Vec<_> = (0..40).map(|n| format!("<{}>; rel=duplicate", server.url(&format!("/{n}")))).collect();
    let file = File::new(content.clone()).header("Link", links.join(", ")).header("Repr-Digest", repr_digest(&content));
    server.add("/a.bin", file);
    let id = daemon.submit(&server.url("/a.bin")).await;
    let job = daemon.until(id, "the mirrors are stored", |job| job.mirrors.len() > 1).await;
    assert_eq!(job.mirrors.len(), 16, "with its own URL");
    daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), &content);
}
