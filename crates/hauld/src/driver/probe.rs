//! What a server says of a file, without keeping anything of it.

use std::sync::Arc;
use std::time::Duration;

use haul_api::{Problem, ProblemCode};
use haul_core::messages::{End, FetchKind, Timeouts};
use haul_core::{Fault, FaultKind, JobId, MirrorIndex, WorkerId};
use haul_store::NewJob;
use haul_transfer::{Identity, Lane, Opened, Order, Report, Target};
use http::HeaderValue;
use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

use super::Driver;
use super::handle::{Answer, DriverError};
use super::running::Running;
use super::submits::accepted;
use super::tasks::Done;
use crate::convert::now_ms;

/// How long the server may take. Somebody waits for the answer.
const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(5), response: Duration::from_secs(15), stall: Duration::from_secs(5) };

/// How long all of it may take, redirects among it: shorter than the patience of our own client.
const PROBE_MAX: Duration = Duration::from_secs(40);

/// Reports of one probe: that it has begun, and that it has ended.
const REPORTS: usize = 2;

/// What a probe has found.
#[derive(Debug)]
pub(crate) struct Probed {
    pub(crate) submitted: Url,
    pub(crate) opened: Box<Opened>,
}

impl Driver {
    /// Asks as for a job that was just accepted.
    pub(super) fn probe(&mut self, job: NewJob, answer: Answer<Probed>) {
        let running = match Running::new(&accepted(JobId(0), job, now_ms())) {
            Ok(running) => running,
            Err(error) => {
                let problem = Problem::new(ProblemCode::InvalidUrl, error.to_string()).with_field("url");
                answer.send(Err(problem.into())).ok();
                return;
            }
        };
        let (reports, received) = mpsc::channel(REPORTS);
        let submitted = running.mirror(MirrorIndex(0)).submitted.clone();
        let (headers, referrer) = running.secrets(MirrorIndex(0));
        let user_agent = running.row.wish.user_agent.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
        let order = Order {
            // Its reports do not go to the engine.
            worker: WorkerId(0),
            kind: FetchKind::Probe,
            submitted: submitted.clone(),
            resolved: None,
            lane: Arc::new(Lane::new(0, Lane::OPEN)),
            timeouts: TIMEOUTS,
            overlap: 0,
            reach: 0,
            identity: Identity::default(),
            others: Vec::new(),
            if_range: false,
            no_cache: false,
            headers,
            cookies: Arc::clone(&running.cookies),
            user_agent: user_agent.or(Some(self.user_agent.clone())),
            referrer,
            login: self.login(&running.row, &submitted),
            post: running.post.clone(),
            client: running.client(&self.client),
            limiters: Vec::new(),
            target: Target::Ask,
            reports,
        };
        let started = self.threads.start(0, order);
        self.tasks.push(Box::pin(async move {
            let found = match started {
                Ok(()) => match timeout(PROBE_MAX, opened(received)).await {
                    Ok(found) => found,
                    Err(_) => {
                        let detail = format!("no answer within {} s", PROBE_MAX.as_secs());
                        Err(Fault::new(FaultKind::NoAnswer, detail))
                    }
                },
                Err(fault) => Err(fault),
            };
            let probed = found.map(|opened| Probed { submitted, opened }).map_err(|fault| {
                let detail = format!("{fault} ({})", fault.kind.code());
                DriverError::from(Problem::new(ProblemCode::ProbeFailed, detail).with_field("url"))
            });
            // Whoever asked may have gone.
            answer.send(probed).ok();
            Done::Nothing
        }));
    }
}

/// The answer. The worker ends when nobody gives it a file.
async fn opened(mut received: mpsc::Receiver<Report>) -> Result<Box<Opened>, Fault> {
    match received.recv().await {
        Some(Report::Opened { opened, .. }) => Ok(opened),
        Some(Report::Ended { end: End::Fault(fault), .. }) => Err(fault),
        Some(Report::Ended { end: End::Finished | End::Stopped, .. }) | None => {
            Err(Fault::new(FaultKind::Local, "the daemon is stopping"))
        }
    }
}
