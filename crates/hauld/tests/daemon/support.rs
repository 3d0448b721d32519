//! A daemon in a process of its own, with its own directory, and ways to watch it.

mod apart;
mod home;
mod http;
mod process;
mod tools;
mod volume;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use haul_api::{Chunk, Job};
use haul_testkit::Content;
use sha2::{Digest, Sha256};

pub(crate) use apart::{PUBLIC, is_inside};
pub(crate) use home::Home;
pub(crate) use http::Answer;
pub(crate) use process::{Daemon, refusal};
pub(crate) use tools::{chromium, firefox, tool};
pub(crate) use volume::{Volume, names};

/// One mebibyte.
pub(crate) const MIB: u64 = 1 << 20;

/// Longer than anything here takes on a busy machine with two cores; a test that meets it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(45);

/// Waits until `look` brings something.
///
/// # Panics
///
/// When it has not for [`DEADLINE`].
pub(crate) async fn wait_until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(5);

/// The digest of a file, in lower-case hexadecimal.
pub(crate) fn sha256(path: &Path) -> String {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).expect("a file can be read") {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asserts that a file holds exactly this content.
pub(crate) fn assert_holds(path: &Path, content: &Content) {
    let len = std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len();
    assert_eq!(len, content.len(), "the length of {}", path.display());
    assert_eq!(sha256(path), content.sha256(), "the bytes of {}", path.display());
}

/// Waits until a job has completed whose file is `a.bin`, and asserts that it holds exactly this content and is all that is
/// there.
pub(crate) async fn completed(daemon: &Daemon, id: u64, content: &Content) -> Job {
    let job = daemon.completed(id).await;
    assert_holds(&daemon.home().downloads().join("a.bin"), content);
    assert_chunks_tile(&daemon.client().chunks(id).await.expect("its chunks").chunks, content.len());
    assert_eq!(daemon.home().names(), ["a.bin"]);
    job
}

/// Asserts that the chunks lie side by side from 0 to `total` and that each is complete and durable.
pub(crate) fn assert_chunks_tile(chunks: &[Chunk], total: u64) {
    let mut at = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.start, at, "chunk {index} begins where the one before it ends");
        let end = chunk.end.expect("a complete file has a length");
        assert_eq!(chunk.state, haul_api::ChunkState::Done, "chunk {index}");
        assert_eq!((chunk.done_bytes, chunk.durable_bytes), (end - at, end - at), "chunk {index}");
        at = end;
    }
    assert_eq!(at, total, "the chunks cover the file");
}

/// The seed of a random test: that of `TEST_SEED` to replay a failure, else a new one. It is printed either way.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    say(&format!("TEST_SEED={seed}"));
    seed
}

/// Runs another program to its end; what it has said where it failed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Says something that the test's output shows.
#[expect(clippy::print_stdout, reason = "the harness shows it with the test that failed")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
