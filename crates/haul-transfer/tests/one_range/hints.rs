//! What answers say about mirrors and digests.

use haul_core::messages::FetchKind;
use haul_testkit::{Content, File};
use haul_transfer::{Checksum, Hints, Lane};

use crate::rig::{LEN, Rig};

/// The SHA-256 of the content that the literal below names: that of no bytes.
const DIGEST: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

#[test]
fn hints_are_reported_with_the_answer_and_its_redirects() {
    let rig = Rig::new(|file| {
        file.header("Link", "<http://b.example/a.bin>; rel=duplicate; pri=2; geo=de").header("Repr-Digest", DIGEST)
    });
    let start = File::new(Content::empty()).redirect(302, "a.bin");
    rig.server
        .add("/start", start.header("Link", "<http://c.example/a.bin>; rel=duplicate; pri=1, <a.bin>; rel=duplicate"));
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.submitted = rig.server.url("/start").parse().expect("a URL");
    let run = rig.run(order, received);
    run.finished_at(LEN);
    let hints = &run.opened().hints;
    let mirrors: Vec<_> = hints.mirrors.iter().map(|hint| hint.url.as_str()).collect();
    assert_eq!(mirrors, ["http://c.example/a.bin", "http://b.example/a.bin"]);
    let of_nothing = "sha-256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hints.checksum.as_ref().map(Checksum::to_string).as_deref(), Some(of_nothing));
}

#[test]
fn the_digest_of_a_part_or_of_an_error_is_none_of_the_files() {
    let part = Rig::new(|file| file.header("Content-Digest", DIGEST));
    assert_eq!(part.probe().opened().hints, Hints::default());
    let empty = Rig::with(Content::empty(), |file| file.header("Repr-Digest", DIGEST));
    let run = empty.probe();
    assert!(run.opened().partial, "answered by a 416");
    assert_eq!(run.opened().hints, Hints::default());
}
