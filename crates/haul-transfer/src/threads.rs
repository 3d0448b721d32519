//! The OS threads that transfer, each with a current-thread runtime on which workers also write.
//!
//! One thread per file system, so that a slow disk holds up only its own jobs. A thread owns its workers: it waits
//! for each of them, and asks them to stop before it ends.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use haul_core::messages::End;
use haul_core::{Fault, FaultKind, WorkerId};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};

use crate::worker::{self, Shared};
use crate::{Lane, Order, Report};

/// The transfer threads. Dropping them stops them.
#[derive(Debug)]
pub struct Threads {
    threads: Mutex<Vec<Thread>>,
    threads_max: usize,
    /// Carries how long the threads may take to end, once they shall.
    stop: watch::Sender<Option<Duration>>,
}

#[derive(Debug)]
struct Thread {
    filesystem: u64,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    /// Closed by the thread's end.
    ended: std_mpsc::Receiver<()>,
}

impl Threads {
    /// No thread yet; at most `threads_max` (at least one) later.
    #[must_use]
    pub fn new(threads_max: usize) -> Self {
        Self { threads: Mutex::default(), threads_max: threads_max.max(1), stop: watch::Sender::new(None) }
    }

    /// Starts a worker on the thread of this file system (`st_dev` of the target directory). Does not block.
    ///
    /// # Errors
    ///
    /// When no worker was started. No report will come then.
    pub fn start(&self, filesystem: u64, order: Order) -> Result<(), Fault> {
        let mut threads = self.threads.lock().expect("nothing panics while it is held");
        if self.stop.borrow().is_some() {
            return Err(Fault::new(FaultKind::Local, "the transfer threads are stopping"));
        }
        let found = threads.iter().position(|thread| thread.filesystem == filesystem);
        let index = match found {
            Some(index) => index,
            None if threads.len() < self.threads_max => {
                threads.push(Thread::start(filesystem, self.stop.subscribe())?);
                threads.len() - 1
            }
            // More file systems than threads: some share.
            None => usize::try_from(filesystem % threads.len() as u64).unwrap_or_default(),
        };
        threads[index].orders.try_send(order).map_err(|_| {
            let detail = "the transfer thread takes no orders";
            Fault::new(FaultKind::Local, detail)
        })
    }

    /// Has no connection used again that is kept open now: the machine was asleep, and the servers have long gone.
    pub fn forget_connections(&self) {
        let threads = self.threads.lock().expect("nothing panics while it is held");
        threads.iter().for_each(|thread| thread.shared.forget_connections());
    }

    /// Asks all workers to stop and waits until they have reported, or `within` is over. Blocks the thread.
    ///
    /// True when all threads have ended. A thread that hangs in a write of a dead disk is left behind; its workers
    /// report when it comes back. No order is taken any more.
    #[must_use]
    pub fn stop(&self, within: Duration) -> bool {
        let threads = {
            let mut threads = self.threads.lock().expect("nothing panics while it is held");
            self.stop.send_replace(Some(within));
            std::mem::take(&mut *threads)
        };
        let deadline = std::time::Instant::now() + within + SLACK;
        let mut all_ended = true;
        for thread in threads {
            drop(thread.orders);
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            // Nothing is ever sent: either the thread's end closes it, or the time is up.
            let ended = thread.ended.recv_timeout(left);
            all_ended &= ended == Err(std_mpsc::RecvTimeoutError::Disconnected);
        }
        all_ended
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if !self.stop(STOP_WITHIN) {
            tracing::warn!("a transfer thread hangs and is left behind");
        }
    }
}

impl Thread {
    fn start(filesystem: u64, stop: watch::Receiver<Option<Duration>>) -> Result<Self, Fault> {
        // More orders than workers may run at once never wait here; whoever meets a full channel
        // gets its order back as a local fault.
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let (alive, ended) = std_mpsc::channel();
        let shared = Arc::new(Shared::default());
        let shared_here = Arc::clone(&shared);
        let fault = |error: std::io::Error| {
            let detail = format!("cannot start a transfer thread: {error}");
            Fault::new(FaultKind::Local, detail)
        };
        let runtime =
            Builder::new_current_thread().enable_all().max_blocking_threads(RESOLVERS_MAX).build().map_err(fault)?;
        thread::Builder::new()
            .name(format!("transfer-{filesystem:x}"))
            .spawn(move || {
                let _alive = alive;
                runtime.block_on(run(inbox, shared_here, stop));
                // A name lookup cannot be interrupted and must not hold up the end.
                runtime.shutdown_background();
            })
            .map_err(fault)?;
        Ok(Self { filesystem, shared, orders, ended })
    }
}

/// A thread's life: takes orders until it shall stop, then stops its workers.
async fn run(mut inbox: mpsc::Receiver<Order>, shared: Arc<Shared>, mut stop: watch::Receiver<Option<Duration>>) {
    let mut workers = Workers::default();
    loop {
        tokio::select! {
            biased;
            // An error means that the handle is gone, which means the same.
            _asked = stop.wait_for(Option::is_some) => break,
            Some(()) = workers.one_ended(), if !workers.tasks.is_empty() => {}
            order = inbox.recv() => match order {
                Some(order) => workers.start(order, &shared),
                None => break,
            },
        }
    }
    let within = (*stop.borrow()).unwrap_or(STOP_WITHIN);
    inbox.close();
    while let Some(order) = inbox.recv().await {
        order.lane.stop();
        workers.start(order, &shared);
    }
    workers.stop(within).await;
}

/// The workers of a thread, and how to ask them to stop.
#[derive(Debug, Default)]
struct Workers {
    tasks: JoinSet<()>,
    lanes: HashMap<Id, Arc<Lane>>,
}

impl Workers {
    fn start(&mut self, order: Order, shared: &Arc<Shared>) {
        let lane = Arc::clone(&order.lane);
        let shared = Arc::clone(shared);
        let task = self.tasks.spawn(async move {
            let last_word = LastWord::new(&order);
            supervise(last_word, worker::work(&order, &shared)).await;
        });
        self.lanes.insert(task.id(), lane);
    }

    /// Completes when a worker has ended. Cancel safe: nothing is lost.
    async fn one_ended(&mut self) -> Option<()> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.lanes.remove(&id);
        Some(())
    }

    /// Stops all workers; those that do not end in time are dropped, which reports their end, too.
    async fn stop(mut self, within: Duration) {
        self.lanes.values().for_each(|lane| lane.stop());
        let all_ended = async { while self.one_ended().await.is_some() {} };
        if tokio::time::timeout(within, all_ended).await.is_err() {
            tracing::warn!("some workers did not end in time");
        }
    }
}

/// Runs a worker and reports its end, also when it panics.
async fn supervise(last_word: LastWord, work: impl Future<Output = End>) {
    let end = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(worker = last_word.worker.0, "a worker panicked");
        let detail = "a defect in haul ended the transfer; its log has the details";
        End::Fault(Fault::new(FaultKind::Internal, detail))
    });
    last_word.say(end).await;
}

/// Makes sure that the end of a worker is reported exactly once, also when its task is dropped.
#[derive(Debug)]
struct LastWord {
    worker: WorkerId,
    lane: Arc<Lane>,
    /// `None` once it has been said.
    reports: Option<mpsc::Sender<Report>>,
}

impl LastWord {
    fn new(order: &Order) -> Self {
        Self { worker: order.worker, lane: Arc::clone(&order.lane), reports: Some(order.reports.clone()) }
    }

    async fn say(mut self, end: End) {
        if let Some(reports) = &self.reports
            && let Ok(permit) = reports.reserve().await
        {
            permit.send(self.report(end));
        }
        self.reports = None;
    }

    fn report(&self, end: End) -> Report {
        Report::Ended { worker: self.worker, at: self.lane.close(), end }
    }
}

impl Drop for LastWord {
    fn drop(&mut self) {
        if let Some(reports) = self.reports.take()
            && let Err(mpsc::error::TrySendError::Full(_)) = reports.try_send(self.report(End::Stopped))
        {
            tracing::error!(worker = self.worker.0, "the end of a worker could not be reported");
        }
    }
}

/// Orders that a thread has not looked at yet: eight times the default of `connections_total`.
const ORDERS_MAX: usize = 4096;

/// Name lookups at the same time, each on a blocking thread. A guess.
const RESOLVERS_MAX: usize = 16;

/// How long the threads may take to end when nobody says.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// What a thread may need after its workers have ended.
const SLACK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn last_word() -> (LastWord, mpsc::Receiver<Report>) {
        let (reports, received) = mpsc::channel(4);
        let lane = Arc::new(Lane::new(5, 10));
        let last_word = LastWord { worker: WorkerId(7), lane, reports: Some(reports) };
        (last_word, received)
    }

    /// The one report that came; nothing can follow it, because the sender is gone.
    fn only(mut received: mpsc::Receiver<Report>) -> End {
        let report = received.try_recv().expect("a report");
        assert_eq!(received.try_recv().err(), Some(mpsc::error::TryRecvError::Disconnected));
        match report {
            Report::Ended { worker, at, end } => {
                assert_eq!((worker, at), (WorkerId(7), 5));
                end
            }
            Report::Opened { .. } => panic!("not an end"),
        }
    }

    #[tokio::test]
    async fn f_proc_03_a_panic_is_reported_as_an_end() {
        let (last_word, received) = last_word();
        supervise(last_word, async { panic!("on purpose") }).await;
        let End::Fault(fault) = only(received) else {
            panic!("no fault");
        };
        assert_eq!(fault.kind, FaultKind::Internal);
    }

    #[tokio::test]
    async fn an_end_is_reported_once() {
        let (last_word, received) = last_word();
        supervise(last_word, async { End::Finished }).await;
        assert_eq!(only(received), End::Finished);
    }

    #[tokio::test]
    async fn a_dropped_worker_reports_that_it_was_stopped() {
        let (last_word, received) = last_word();
        drop(supervise(last_word, async { End::Finished }));
        assert_eq!(only(received), End::Stopped);
    }
}
