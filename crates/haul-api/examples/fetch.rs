//! Submits a URL, waits until the job has ended, and says how.
//!
//! `cargo run -p haul-api --example fetch -- http://127.0.0.1:4285 TOKEN https://example.org/a.iso`
#![expect(clippy::print_stdout, reason = "it is what this program is for")]

use std::error::Error;

use haul_api::{Address, Client, JobState, SubmitJob};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token, url] = arguments.as_slice() else { return Err("ADDRESS TOKEN URL".into()) };
    // reqwest asks for a TLS library even where none is used.
    rustls::crypto::ring::default_provider().install_default().ok();

    let client = Client::new(Address::tcp(address)?, Some(token))?;
    let mut job = client.submit(&SubmitJob::new(url)).await?;
    while !job.state.is_ended() {
        println!("{}: {} bytes", job.state.as_str(), job.done_bytes);
        // Answers when the job has ended, or after a second.
        job = client.wait(job.id, 1, None).await?;
    }
    match (job.state, job.reason) {
        (JobState::Completed, _) => println!("{}", job.path.unwrap_or_default()),
        (state, Some(reason)) => println!("{}: {} ({})", state.as_str(), reason.message, reason.code),
        (state, None) => println!("{}", state.as_str()),
    }
    Ok(())
}
