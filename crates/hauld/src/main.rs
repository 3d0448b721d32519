//! `hauld`: the download daemon.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser as _;
use hauld::config::Layers;
use hauld::{Arguments, Daemon, Inherited, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

/// Gives memory back to the system within seconds after a large request, and takes it a fifth faster than the C library's.
/// `.cargo/config.toml` has its settings.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hauld::install_crypto();
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(exit) => exit,
        Err(error) => {
            // Nobody may be reading standard error; then there is nobody to tell.
            writeln!(std::io::stderr(), "hauld: {error}").ok();
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, StartError> {
    let inherited = Inherited::take().map_err(StartError::Inherited)?;
    let layers = Layers::of_process(arguments.config, arguments.set);
    let loaded = layers.clone().load()?;
    if arguments.print_config {
        write!(std::io::stdout(), "{}", loaded.print()).ok();
        return Ok(ExitCode::SUCCESS);
    }
    hauld::logging::start(&loaded.config)?;
    hauld::prepare_process();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The API and the driver: neither ever touches a file or computes for long.
        .worker_threads(2)
        .max_blocking_threads(32)
        .thread_name("hauld")
        .enable_all()
        .build()
        .map_err(|source| StartError::Directory { path: "/proc".into(), source })?;
    runtime.block_on(async {
        // Watched from before the start on: whoever hears that the daemon is ready may end it at once.
        let stop = asked_to_stop();
        let mut hangups = signal(SignalKind::hangup()).ok();
        // A file that may not grow any more is its job's misfortune (FAILURES.md, F-DISK-05): once somebody listens, the
        // signal ends nobody and the write fails.
        let _too_large = signal(SignalKind::from_raw(SIGXFSZ)).ok();
        let mut daemon = Daemon::start_inheriting(&loaded.config, inherited).await?;
        let ready = daemon.listen().map_or("ready".to_owned(), |address| format!("listening on {address}"));
        hauld::tell_ready(&ready);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                name = &mut stop => {
                    info!(signal = name, "stopping");
                    break;
                }
                breakdown = daemon.failed() => {
                    daemon.abandon().await;
                    return Ok(ExitCode::from(breakdown.exit_code()));
                }
                Some(()) = next(&mut hangups) => reload(&daemon, &layers).await,
            }
        }
        daemon.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The signal for a file that would grow beyond its limit, on Linux but MIPS and PA-RISC.
const SIGXFSZ: i32 = 25;

/// The next signal, where signals can be watched.
async fn next(signals: &mut Option<Signal>) -> Option<()> {
    match signals {
        Some(signals) => signals.recv().await,
        None => std::future::pending().await,
    }
}

/// Reads the configuration again, on SIGHUP. A mistake in it changes nothing.
async fn reload(daemon: &Daemon, layers: &Layers) {
    match layers.clone().load() {
        Ok(loaded) => {
            info!("the configuration was read again; limits and the log are taken over, the rest at the next start");
            if let Err(error) = hauld::logging::reload(&loaded.config) {
                error!(%error, "the log stays as it was");
            }
            daemon.reload(&loaded.config).await;
        }
        Err(error) => error!(%error, "the configuration has a mistake; nothing was changed"),
    }
}

/// Watches from now on, and completes when a signal asks the process to end.
fn asked_to_stop() -> impl Future<Output = &'static str> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            error!("signals cannot be watched; the daemon must be killed");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    }
}
