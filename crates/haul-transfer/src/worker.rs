//! One worker, from its request to its last byte.

use std::sync::{Arc, Mutex};

use haul_core::messages::{End, FetchKind};
use haul_core::{Fault, FaultKind};
use http::header::{ACCEPT_RANGES, CONTENT_DISPOSITION, LOCATION};
use reqwest::Response;
use tokio::sync::oneshot;
use tokio::time::{Duration, timeout};
use url::Url;

use crate::address;
use crate::body::{Body, Use};
use crate::classify::{self, Phase};
use crate::client::Clients;
use crate::hints::HintsOnTheWay;
use crate::redirect::{self, Route};
use crate::request::{self, Asked, host_of};
use crate::response::{self, Accepted, Answer, Judgement};
use crate::{DiskFile, Hints, Identity, Masked, Opened, Order, Report, Target};

/// What the workers of one thread share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    clients: Mutex<Clients>,
    /// Hosts that have answered: a connection to them may be a kept-alive one.
    answered: Mutex<Vec<String>>,
}

/// Carries out the order and tells why it ended. Nothing is sent but [`Report::Opened`].
pub(crate) async fn work(order: &Order, shared: &Shared) -> End {
    match transfer(order, shared).await {
        Ok(end) => end,
        Err(fault) => End::Fault(fault),
    }
}

async fn transfer(order: &Order, shared: &Shared) -> Result<End, Fault> {
    let lane = &order.lane;
    if lane.close_if_reached() {
        return Ok(End::Finished);
    }
    let answered = tokio::select! {
        biased;
        end = lane.over() => return Ok(end),
        () = order.reports.closed() => return Ok(End::Stopped),
        answered = ask(order, shared) => answered?,
    };
    let file = tokio::select! {
        biased;
        () = lane.stopped() => return Ok(End::Stopped),
        file = open_file(order, &answered) => file?,
    };
    let Some(file) = file else {
        return Ok(End::Stopped);
    };
    let mut body = Body {
        used_to: match order.kind {
            FetchKind::Probe | FetchKind::Range | FetchKind::Whole => Use::Write,
            FetchKind::Compare => Use::Compare,
        },
        overlap: order.overlap,
        vouched: answered.vouched,
        end: answered.accepted.end,
        total: answered.accepted.identity.total.or(order.identity.total),
        url: &answered.url,
        lane,
        limiters: &order.limiters,
        stall: order.timeouts.stall,
        file: &file,
    };
    let Some(response) = answered.response else {
        return Ok(End::Finished);
    };
    // The body only ever waits between two writes, so nothing is cut in half.
    tokio::select! {
        biased;
        end = body.transfer(response) => end,
        () = order.reports.closed() => Ok(End::Stopped),
    }
}

/// An answer that fits.
struct Answered {
    /// `None` where the file is empty and the body speaks of something else.
    response: Option<Response>,
    accepted: Accepted,
    /// A strong validator says that it is of the same version as what is there.
    vouched: bool,
    opened: Box<Opened>,
    url: Url,
}

/// Asks until an answer fits, following redirects.
async fn ask(order: &Order, shared: &Shared) -> Result<Answered, Fault> {
    let mut route = Route::new(order.start());
    let mut hints = HintsOnTheWay::default();
    let mut asked = Asked::by(order);
    let mut may_condition = order.if_range;
    loop {
        let host = host_of(route.url());
        let known = order.known_at(host);
        asked.conditional = may_condition && asked.ranged && known.if_range(Some(host)).is_some();
        let response = send(order, shared, route.url(), asked, &known).await?;
        order.cookies.note(route.url(), response.headers());
        if redirect::is_redirect(response.status()) {
            hints.redirected(route.url(), response.headers());
            let location = response.headers().get(LOCATION).cloned();
            let status = response.status();
            drain(response).await;
            let before = route.url().origin();
            route.follow(location.as_ref().map(http::HeaderValue::as_bytes))?;
            asked.by_post = asked.by_post && redirect::keeps_method(status);
            if asked.by_post && route.url().origin() != before {
                let detail = format!("the request is sent on to {}, which must not get its body", Masked(route.url()));
                return Err(Fault::new(FaultKind::NotRepeatable, detail));
            }
            continue;
        }
        let answer = Answer {
            url: route.url(),
            status: response.status(),
            headers: response.headers(),
            length: response.content_length(),
        };
        match response::judge(&answer, asked, &known) {
            Ok(Judgement::Take(accepted)) => {
                let hints = hints.answered(route.url(), response.headers());
                let vouched = known.vouches_for(&accepted.identity);
                let answered = Answered::new(response, accepted, &route, hints);
                return Ok(Answered { vouched, ..answered.to(asked) });
            }
            Ok(Judgement::Empty(accepted)) => return Ok(Answered::empty(response, accepted, &route).to(asked)),
            // Each of the two is asked for once at most, because what they drop stays dropped.
            Ok(Judgement::AskUnranged) => asked.ranged = false,
            Ok(Judgement::AskUnconditionally) => may_condition = false,
            Err(fault) => {
                if response.status().is_client_error() || response.status().is_server_error() {
                    drain(response).await;
                }
                return Err(fault);
            }
        }
    }
}

/// One request and the head of its answer.
async fn send(order: &Order, shared: &Shared, url: &Url, asked: Asked, known: &Identity) -> Result<Response, Fault> {
    if !redirect::is_http(url) {
        let detail = format!("{} is no HTTP address", Masked(url));
        return Err(Fault::new(FaultKind::RedirectScheme, detail));
    }
    if order.client.public_only {
        address::check(url, &order.client.network.proxy)?;
    }
    let timeouts = order.timeouts;
    let client = {
        let mut clients = shared.clients.lock().expect("building a client does not panic");
        clients.get(url, &order.client, timeouts.connect)?
    };
    let request = || request::build(&client, order, url, asked, known).send();
    let sent = timeout(timeouts.connect + timeouts.response, async {
        match request().await {
            // The server closed a kept-alive connection while our request was under way: nobody's
            // fault, and a request that only reads may be repeated (F-HTTP-17).
            Err(error) if !asked.by_post && is_unanswered(&error, url) && shared.has_answered(url) => request().await,
            sent => sent,
        }
    });
    match sent.await {
        Ok(Ok(response)) => {
            shared.note_answer(url);
            Ok(response)
        }
        Ok(Err(error)) => {
            let fault = classify::transfer_fault(&error, Phase::Head, url);
            Err(classify::of_the_way(fault, &error, &order.client.network))
        }
        Err(_) => {
            let seconds = timeouts.response.as_secs_f64();
            let detail = format!("no answer from {} within {seconds} s", Masked(url));
            Err(Fault::new(FaultKind::NoAnswer, detail))
        }
    }
}

fn is_unanswered(error: &reqwest::Error, url: &Url) -> bool {
    classify::transfer_fault(error, Phase::Head, url).kind == FaultKind::Reset
}

/// Reads what is left of a short answer, so that its connection can be used again.
async fn drain(mut response: Response) {
    if response.content_length().is_none_or(|length| length > DRAIN_BYTES_MAX) {
        return;
    }
    let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
    // A connection that does not deliver in time is closed instead.
    let _drained = timeout(DRAIN_TIME_MAX, rest).await.is_ok();
}

/// Reports the answer and gets the file; `None` means that nobody wants it any more.
async fn open_file(order: &Order, answered: &Answered) -> Result<Option<Arc<DiskFile>>, Fault> {
    let (file, reply) = match &order.target {
        Target::Ready(file) => (Some(Arc::clone(file)), None),
        Target::Ask => (None, Some(oneshot::channel())),
    };
    let (sender, receiver) = reply.unzip();
    let report = Report::Opened { worker: order.worker, opened: answered.opened.clone(), reply: sender };
    if order.reports.send(report).await.is_err() {
        return Ok(None);
    }
    match (file, receiver) {
        (None, Some(receiver)) => match receiver.await {
            Ok(file) => file.map(Some),
            Err(_) => Ok(None),
        },
        (file, _) => Ok(file),
    }
}

impl Answered {
    /// The answer to this request.
    fn to(mut self, asked: Asked) -> Self {
        self.opened.by_post = asked.by_post;
        self
    }

    /// The body of such an answer, and its digest, are those of an error.
    fn empty(response: Response, accepted: Accepted, route: &Route) -> Self {
        Self { response: None, ..Self::new(response, accepted, route, Hints::default()) }
    }

    fn new(response: Response, accepted: Accepted, route: &Route, hints: Hints) -> Self {
        let headers = response.headers();
        let opened = Opened {
            total: accepted.identity.total,
            partial: accepted.partial,
            final_url: route.url().clone(),
            identity: accepted.identity.clone(),
            by_post: false,
            content_disposition: headers.get(CONTENT_DISPOSITION).map(|value| value.as_bytes().to_vec()),
            refuses_ranges: headers
                .get(ACCEPT_RANGES)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"none")),
            hints,
        };
        let url = route.url().clone();
        Self { response: Some(response), accepted, vouched: false, opened: Box::new(opened), url }
    }
}

impl Shared {
    /// Drops all kept-alive connections, and has new ones made from now on.
    pub(crate) fn forget_connections(&self) {
        *self.clients.lock().expect("building a client does not panic") = Clients::default();
        self.answered.lock().expect("nothing panics while it is held").clear();
    }

    fn has_answered(&self, url: &Url) -> bool {
        let answered = self.answered.lock().expect("nothing panics while it is held");
        answered.iter().any(|host| host == host_of(url))
    }

    fn note_answer(&self, url: &Url) {
        let mut answered = self.answered.lock().expect("nothing panics while it is held");
        if answered.iter().any(|host| host == host_of(url)) {
            return;
        }
        if answered.len() == ANSWERED_MAX {
            answered.remove(0);
        }
        answered.push(host_of(url).to_owned());
    }
}

/// Bytes of an unwanted body that cost less than a new connection.
const DRAIN_BYTES_MAX: u64 = 16 << 10;

/// A guess: about the round trip that a new connection would cost.
const DRAIN_TIME_MAX: Duration = Duration::from_millis(200);

/// Hosts that are remembered as having answered; more are hardly in use at once.
const ANSWERED_MAX: usize = 64;
