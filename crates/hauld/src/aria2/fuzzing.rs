//! What the fuzzer has read: messages, and the jobs that they ask for.

use std::collections::BTreeMap;

use haul_api::SubmitJob;

use super::add::is_http;
use super::call::CALLS_MAX;
use super::envelope::Message;
use super::gid::Gid;
use super::options::Given;
use super::params::Params;
use super::secret::Secrets;
use super::transport::in_query;
use crate::submit::MIRRORS_MAX;

/// The jobs that a message asks for, as a body and as a query.
pub(crate) fn wanted(bytes: &[u8]) -> Vec<SubmitJob> {
    let query = std::str::from_utf8(bytes).ok().map(in_query);
    let mut jobs = Vec::new();
    for message in query.into_iter().chain([Message::read(bytes)]) {
        let calls = match message {
            Message::One(call) => vec![call],
            Message::Many(calls) => calls,
        };
        assert!(calls.len() <= CALLS_MAX);
        jobs.extend(calls.into_iter().flatten().filter_map(|call| job(Params(call.params))));
    }
    jobs
}

fn job(mut params: Params) -> Option<SubmitJob> {
    params.take_token();
    let given = Given::of(params.optional_options(1).ok()?, &BTreeMap::new());
    if let Some(gid) = given.text("gid").and_then(|text| Gid::chosen(text).ok()) {
        assert_eq!(Gid::chosen(&gid.to_string()), Ok(gid));
    }
    let urls = params.texts(0).ok()?.into_iter().filter(|url| is_http(url)).map(str::to_owned);
    let urls: Vec<_> = urls.take(MIRRORS_MAX).collect();
    if urls.is_empty() { None } else { given.job(urls, &Secrets::default(), true).ok() }
}
