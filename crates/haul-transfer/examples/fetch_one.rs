//! Fetches one file over one connection, to measure what the transfer path costs.
//!
//! ```text
//! cargo run --release -p haul-transfer --example fetch_one -- http://127.0.0.1:8080/1g.bin /tmp/out [connections]
//! ```
//!
//! `CA_FILE` names certificates to trust besides the platform's.

#![expect(clippy::print_stderr, reason = "a program for people at a terminal")]

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_core::WorkerId;
use haul_core::messages::{End, FetchKind, Timeouts};
use haul_transfer::{ClientKey, DiskFile, Identity, Lane, Limiter, Order, Report, Target, Threads};
use http::HeaderMap;
use tokio::sync::mpsc;
use url::Url;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: fetch_one URL FILE [CONNECTIONS]";
    let url: Url = args.next().ok_or(usage)?.parse()?;
    let file = Arc::new(DiskFile::from(File::create(args.next().ok_or(usage)?)?));
    let connections: u64 = args.next().as_deref().unwrap_or("1").parse()?;

    let threads = Threads::new(1);
    let (reports, mut received) = mpsc::channel(64);
    let order = |worker, kind, lane| Order {
        worker: WorkerId(worker),
        kind,
        submitted: url.clone(),
        resolved: None,
        lane: Arc::new(lane),
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(30),
            stall: Duration::from_secs(5),
        },
        overlap: 0,
        reach: 0,
        identity: Identity::default(),
        others: Vec::new(),
        if_range: true,
        no_cache: false,
        headers: HeaderMap::new(),
        cookies: Arc::default(),
        user_agent: None,
        referrer: None,
        login: None,
        post: None,
        client: ClientKey { ca_file: std::env::var_os("CA_FILE").map(Into::into), ..ClientKey::default() },
        limiters: vec![Limiter::new(None)],
        target: Target::Ready(Arc::clone(&file)),
        reports: reports.clone(),
    };
    let began = Instant::now();
    let first = Lane::new(0, Lane::OPEN);
    let probe = order(0, FetchKind::Probe, first);
    let probed = Arc::clone(&probe.lane);
    threads.start(0, probe).map_err(|fault| fault.detail)?;
    let mut running = 1;
    while running > 0 {
        match received.blocking_recv().ok_or("the threads are gone")? {
            Report::Opened { worker: WorkerId(0), opened, .. } => {
                let total = opened.total.ok_or("no length")?;
                let share = total.div_ceil(connections);
                probed.set_end(share);
                for worker in 1..connections {
                    let (from, end) = (worker * share, ((worker + 1) * share).min(total));
                    let order = order(worker, FetchKind::Range, Lane::new(from, end));
                    threads.start(0, order).map_err(|fault| fault.detail)?;
                    running += 1;
                }
            }
            Report::Opened { .. } => {}
            Report::Ended { end, worker, .. } => {
                running -= 1;
                if let End::Fault(fault) = end {
                    return Err(format!("worker {worker}: {fault}").into());
                }
            }
        }
    }
    eprintln!("done in {:.3} s", began.elapsed().as_secs_f64());
    Ok(())
}
