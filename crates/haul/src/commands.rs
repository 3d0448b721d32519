//! The commands that ask the daemon once or a few times and print the answer.

mod act;
mod db;
mod doctor;
mod host;
mod limit;
mod list;
mod manual;
mod open;
mod probe;
mod renew;
mod show;
mod token;
mod verify;
mod why;

use haul_api::{BatchItem, BatchResult, Job};
use jiff::Timestamp;

use crate::adopt::{self, Accepted};
use crate::args::{Add, Cli, Command, TokenCommand};
use crate::error::{Exit, Failure};
use crate::find::{self, Daemon};
use crate::follow::{End, Follow, live_jobs};
use crate::interrupt::Interrupt;
use crate::out::Out;
use crate::progress::Progress;
use crate::{get, sentence, submit};

/// Carries out the command line.
pub(crate) async fn run(cli: &Cli, out: &Out) -> Result<Exit, Failure> {
    // Looked for only where it is awaited: mistakes on the command line come first.
    let daemon = find::find(&cli.global, out);
    match &cli.command {
        Command::Get(args) => get::get(&cli.global, args, out).await,
        // Nobody has to be there for a look at what would be asked for.
        Command::Add(args) if args.many.dry_run => added_if(args, out),
        Command::Add(args) => add(&daemon.await?, args, out).await,
        Command::Ls(args) => list::ls(&daemon.await?, args, out).await,
        Command::Show(args) => show::show(&daemon.await?, args, out).await,
        Command::Why { id } => why::why(&daemon.await?, *id, out).await,
        Command::Host(args) => host::host(&daemon.await?, args, out).await,
        Command::Watch { ids } => watch(&daemon.await?, ids, out).await,
        Command::Pause(which) if which.all => act::pause_all(&daemon.await?, out).await,
        Command::Resume(which) if which.all => act::resume_all(&daemon.await?, out).await,
        Command::Pause(which) => act::each(&daemon.await?, &which.ids, act::Act::Pause, out).await,
        Command::Resume(which) => act::each(&daemon.await?, &which.ids, act::Act::Resume, out).await,
        Command::Retry(which) => act::each(&daemon.await?, &which.ids, act::Act::Retry, out).await,
        Command::Renew { id, url, headers } => renew::renew(&daemon.await?, *id, url, headers, out).await,
        Command::Cancel(which) => act::each(&daemon.await?, &which.ids, act::Act::Cancel, out).await,
        Command::Restore(which) => act::each(&daemon.await?, &which.ids, act::Act::Restore, out).await,
        Command::Move { id, position } => renew::put(&daemon.await?, *id, *position, out).await,
        Command::Probe { url, options } => probe::probe(&daemon.await?, url, options, out).await,
        Command::Rm { ids, delete_files } => act::rm(&daemon.await?, &ids.ids, *delete_files, out).await,
        Command::Verify { ids, repair } => verify::verify(&daemon.await?, &ids.ids, *repair, out).await,
        Command::Limit { words, label } => {
            let limit = limit::read(words, label.as_deref())?;
            limit::limit(&daemon.await?, limit, out).await
        }
        Command::Db(args) => db::db(args, out),
        Command::Doctor => doctor::doctor(&daemon.await?, out).await,
        Command::Token { show, command } => match command {
            None => token::file(&cli.global, *show, out),
            Some(TokenCommand::Ls) => token::ls(&daemon.await?, out).await,
            Some(TokenCommand::Add(args)) => token::add(&daemon.await?, args, out).await,
            Some(TokenCommand::Rm { ids }) => token::rm(&daemon.await?, ids, out).await,
        },
        Command::Pair => token::pair(&daemon.await?, out).await,
        Command::Completions { shell, program } => manual::completions(*shell, *program, out),
        Command::Man { dir } => manual::pages(dir, out),
        Command::Open { print } => open::open(&daemon.await?, *print, out).await,
    }
}

async fn add(daemon: &Daemon, args: &Add, out: &Out) -> Result<Exit, Failure> {
    let wishes =
        if args.curl { submit::for_curl(args, daemon.is_local())? } else { submit::for_add(args, daemon.is_local())? };
    wishes.notes.iter().for_each(|note| out.note(note));
    if let ([wish], []) = (wishes.jobs.as_slice(), wishes.refused.as_slice()) {
        let job = daemon.client.submit(wish).await.map_err(|error| daemon.failure(error))?;
        return added(&job, out).map(|()| Exit::Fine);
    }
    let mut accepted = Accepted { refused: wishes.refused, ..Accepted::default() };
    let sent = adopt::submit(daemon, &wishes.jobs, &mut accepted).await;
    if out.is_json() {
        out.json(&in_one(&accepted))?;
    } else {
        accepted.jobs.iter().try_for_each(|job| added(job, out))?;
        accepted.refused.iter().for_each(|refused| out.failure(&refused.failure()));
    }
    sent.map_err(|error| daemon.failure(error))?;
    Ok(if accepted.refused.is_empty() { Exit::Fine } else { Exit::Failed })
}

/// Prints what `add` would ask for.
fn added_if(args: &Add, out: &Out) -> Result<Exit, Failure> {
    let wishes = if args.curl { submit::for_curl(args, true)? } else { submit::for_add(args, true)? };
    wishes.notes.iter().for_each(|note| out.note(note));
    wishes.preview(out).map(|()| Exit::Fine)
}

fn added(job: &Job, out: &Out) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(job);
    }
    if out.is_quiet() {
        return out.line(job.id);
    }
    out.line(format!("{}  {}", job.id, sentence::name(job)))
}

/// The answers to several requests as if it had been one.
fn in_one(accepted: &Accepted) -> BatchResult {
    let jobs = accepted.jobs.iter().cloned().map(BatchItem::created);
    let refused = accepted.refused.iter().map(|refused| BatchItem::refused(refused.problem.clone()));
    BatchResult { results: jobs.chain(refused).collect() }
}

async fn watch(daemon: &Daemon, ids: &[u64], out: &Out) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::new()?;
    let mut jobs = Vec::new();
    for id in ids {
        jobs.push(daemon.client.job(*id).await.map_err(|error| daemon.failure(error))?);
    }
    if ids.is_empty() {
        jobs = live_jobs(daemon).await.map_err(|error| daemon.failure(error))?;
        if jobs.is_empty() {
            out.note("nothing is being downloaded; `haul ls` shows all jobs");
        }
    }
    let mut progress = Progress::new(out);
    let follow = Follow {
        daemon,
        progress: &mut progress,
        interrupt: &mut interrupt,
        is_over: |job| job.state.is_ended(),
        again: |job| format!("`haul retry {}`", job.id),
        joins_new: ids.is_empty(),
    };
    let end = follow.run(jobs).await;
    progress.clear();
    Ok(match end? {
        End::Over(outcome) => {
            if let Some(tally) = outcome.tally() {
                out.note(tally);
            }
            outcome.exit()
        }
        End::Interrupted(_) => Exit::Interrupted,
    })
}

/// One job in one line: `17  waiting: connection refused, next try in 4 s  a.iso`.
fn in_a_line(job: &Job) -> String {
    format!("{}  {}: {}", job.id, sentence::name(job), sentence::state(job, Timestamp::now()))
}
