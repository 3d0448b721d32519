//! One server, one file, the transfer threads, and the oracle.

use std::sync::Arc;
use std::time::Duration;

use haul_core::messages::{End, FetchKind, Timeouts};
use haul_core::{Fault, FaultKind, WorkerId};
use haul_testkit::{Content, File, Server};
use haul_transfer::{ClientKey, DiskFile, Identity, Lane, Limiter, Opened, Order, Report, Target, Threads};
use http::HeaderMap;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// Where the file is on the server.
pub(crate) const PATH: &str = "/a.bin";

/// Length of the content unless a test wants another.
pub(crate) const LEN: u64 = 100_000;

/// Everything that one test needs.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) content: Content,
    pub(crate) threads: Threads,
    pub(crate) file: Arc<DiskFile>,
}

/// How one worker's run went.
pub(crate) struct Run {
    pub(crate) opened: Option<Opened>,
    pub(crate) at: u64,
    pub(crate) end: End,
}

impl Rig {
    /// A server with this shape of the ordinary content.
    pub(crate) fn new(shape: impl FnOnce(File) -> File) -> Self {
        Self::with(Content::seeded(1, LEN), shape)
    }

    pub(crate) fn with(content: Content, shape: impl FnOnce(File) -> File) -> Self {
        let server = Server::start();
        server.add(PATH, shape(File::new(content.clone())));
        let file = Arc::new(DiskFile::from(tempfile::tempfile().expect("a file")));
        let rig = Self { server, content, threads: Threads::new(2), file };
        rig.wipe();
        rig
    }

    /// Makes all bytes of the file untouched ones.
    pub(crate) fn wipe(&self) {
        let len = usize::try_from(self.content.len().min(LEN)).expect("small") + SLACK;
        self.file.write_all_at(&vec![UNTOUCHED; len], 0).expect("filled");
    }

    /// What the core would know after a probe of the ordinary file with these validators.
    pub(crate) fn known(&self, etag: Option<&str>) -> Identity {
        Identity {
            etag: etag.map(str::to_owned),
            total: Some(self.content.len()),
            content_type: Some("application/octet-stream".to_owned()),
            ..Identity::default()
        }
    }

    /// An order for `from..end` with everything else as usual, and where its reports come.
    pub(crate) fn order(&self, kind: FetchKind, from: u64, end: u64) -> (Order, mpsc::Receiver<Report>) {
        let (reports, received) = mpsc::channel(8);
        let order = Order {
            worker: WorkerId(1),
            kind,
            submitted: self.server.url(PATH).parse().expect("a URL"),
            resolved: None,
            lane: Arc::new(Lane::new(from, end)),
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                response: Duration::from_secs(20),
                stall: Duration::from_secs(20),
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
            client: ClientKey::default(),
            limiters: vec![Limiter::new(None)],
            target: Target::Ready(Arc::clone(&self.file)),
            reports,
        };
        (order, received)
    }

    /// Runs a probe of an unknown file.
    pub(crate) fn probe(&self) -> Run {
        let (order, received) = self.order(FetchKind::Probe, 0, Lane::OPEN);
        self.run(order, received)
    }

    /// Runs a request for the whole file.
    pub(crate) fn whole(&self, known: Identity) -> Run {
        let (mut order, received) = self.order(FetchKind::Whole, 0, Lane::OPEN);
        order.identity = known;
        self.run(order, received)
    }

    /// Runs a range of a file of which this is known.
    pub(crate) fn range(&self, from: u64, end: u64, known: Identity) -> Run {
        let (mut order, received) = self.order(FetchKind::Range, from, end);
        order.identity = known;
        self.run(order, received)
    }

    /// Carries an order out, and checks every byte of the file.
    pub(crate) fn run(&self, order: Order, received: mpsc::Receiver<Report>) -> Run {
        self.run_with(order, received, |_| ())
    }

    /// As [`Rig::run`]; `at_opened` is called before the file is handed out.
    pub(crate) fn run_with(
        &self,
        order: Order,
        mut received: mpsc::Receiver<Report>,
        at_opened: impl FnOnce(&Opened),
    ) -> Run {
        let (from, lane) = (order.lane.at(), Arc::clone(&order.lane));
        let writes_here = matches!(&order.target, Target::Ready(file) if Arc::ptr_eq(file, &self.file))
            || matches!(order.target, Target::Ask);
        self.threads.start(0, order).expect("started");
        let mut run = self.collect(&mut received, at_opened);
        assert_eq!(lane.at(), run.at, "the lane and the report agree");
        assert_eq!(lane.set_end(u64::MAX), run.at, "an ended lane ends where it stands");
        if writes_here {
            self.check(from, run.at);
        }
        if let End::Fault(fault) = &mut run.end {
            assert!(!fault.detail.contains("canary"), "{}", fault.detail);
            assert!(!fault.detail.contains(char::is_control), "{:?}", fault.detail);
        }
        run
    }

    pub(crate) fn collect(&self, received: &mut mpsc::Receiver<Report>, at_opened: impl FnOnce(&Opened)) -> Run {
        let mut at_opened = Some(at_opened);
        let mut seen = None;
        loop {
            match next(received) {
                Report::Opened { opened, reply, .. } => {
                    assert!(seen.is_none(), "opened twice");
                    at_opened.take().expect("opened once")(&opened);
                    seen = Some(*opened);
                    let answer = |reply: oneshot::Sender<_>| reply.send(Ok(Arc::clone(&self.file)));
                    assert!(reply.is_none_or(|reply| answer(reply).is_ok()));
                }
                Report::Ended { worker, at, end } => {
                    assert_eq!(worker, WorkerId(1));
                    assert!(closed(received), "nothing comes after the end");
                    return Run { opened: seen, at, end };
                }
            }
        }
    }

    /// The oracle: `from..at` is the content, and all else is as it was.
    fn check(&self, from: u64, at: u64) {
        let mut found = Vec::new();
        let mut offset = 0;
        loop {
            let mut block = vec![0; 1 << 16];
            let read = self.file.read_at(&mut block, offset).expect("read");
            if read == 0 {
                break;
            }
            found.extend_from_slice(&block[..read]);
            offset += read as u64;
        }
        let mut expected = vec![UNTOUCHED; found.len()];
        let (from, at) = (usize::try_from(from).expect("small"), usize::try_from(at).expect("small"));
        assert!(at <= found.len(), "{at} bytes are claimed, {} are there", found.len());
        if from < at {
            self.content.read(from as u64, &mut expected[from..at]);
        }
        let differing = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        assert_eq!(differing, None, "the first wrong byte, of {from}..{at}");
    }

    /// The headers of the requests for a path that carry this name.
    pub(crate) fn sent(&self, path: &str, header: &str) -> Vec<Option<String>> {
        let log = self.server.log();
        let of_path = log.iter().filter(|request| request.path == path);
        of_path.map(|request| request.header(header).map(str::to_owned)).collect()
    }
}

impl Run {
    /// The fault, after which not a byte has been written.
    pub(crate) fn refused(self) -> Fault {
        assert!(self.opened.is_none(), "a refused answer is not opened");
        self.fault()
    }

    pub(crate) fn refused_as(self, kind: FaultKind) {
        let fault = self.refused();
        assert_eq!(fault.kind, kind, "{}", fault.detail);
    }

    pub(crate) fn fault(self) -> Fault {
        match self.end {
            End::Fault(fault) => fault,
            end @ (End::Finished | End::Stopped) => panic!("no fault but {end:?}"),
        }
    }

    pub(crate) fn finished_at(&self, at: u64) {
        assert_eq!((&self.end, self.at), (&End::Finished, at));
    }

    pub(crate) fn opened(&self) -> &Opened {
        self.opened.as_ref().expect("opened")
    }
}

/// The next report, within a deadline.
pub(crate) fn next(received: &mut mpsc::Receiver<Report>) -> Report {
    within_deadline(received.recv()).expect("a report")
}

fn closed(received: &mut mpsc::Receiver<Report>) -> bool {
    within_deadline(received.recv()).is_none()
}

fn within_deadline<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let deadline = async { tokio::time::timeout(Duration::from_secs(30), future).await };
    let done = runtime.expect("a runtime").block_on(deadline);
    done.expect("it happens within the deadline")
}

/// What the file is filled with before.
const UNTOUCHED: u8 = 0xee;

/// Bytes behind the content that must stay as they are.
const SLACK: usize = 4096;
