//! Tells what happens to all jobs, from now on, until it is interrupted or its token is revoked.
//!
//! `cargo run -p haul-api --example follow -- http://127.0.0.1:4285 TOKEN`
#![expect(clippy::print_stdout, reason = "it is what this program is for")]

use std::error::Error;

use haul_api::{Address, Client, StreamQuery, Told};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token] = arguments.as_slice() else { return Err("ADDRESS TOKEN".into()) };
    // reqwest asks for a TLS library even where none is used.
    rustls::crypto::ring::default_provider().install_default().ok();

    let client = Client::new(Address::tcp(address)?, Some(token))?;
    let mut stream = client.event_stream(StreamQuery::default(), None);
    loop {
        match stream.next().await? {
            Told::Event(event) => println!("{} job {}: {}", event.at, event.job, event.kind),
            Told::Progress(jobs) => {
                for job in jobs {
                    println!("job {}: {} bytes, {} B/s", job.id, job.done_bytes, job.speed);
                }
            }
            Told::Lagged(missed) => println!("{missed} events were missed; look at the jobs anew"),
        }
    }
}
