//! The query strings: read by the daemon, written by the client.

use serde::{Deserialize, Serialize};
use url::form_urlencoded::{self, Serializer};

use crate::body::{invalid_value, unknown_field};
use crate::job::{Job, JobState};
use crate::problem::Problem;

/// Seconds that `?wait=` may ask for at most (DESIGN section 6).
pub const WAIT_SECONDS_MAX: u64 = 60;
/// Jobs on a page when the client names no number (DESIGN section 6).
pub const LIMIT_DEFAULT: u32 = 100;
/// Jobs on a page at most (DESIGN section 6).
pub const LIMIT_MAX: u32 = 1000;

/// What a list of jobs is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// When jobs were submitted.
    #[default]
    Id,
    /// Their priority.
    Priority,
    /// Their file's name.
    Filename,
    /// Their file's size.
    TotalBytes,
    /// When they ended.
    FinishedAt,
}

impl SortBy {
    /// Every order once.
    pub const ALL: [Self; 5] = [Self::Id, Self::Priority, Self::Filename, Self::TotalBytes, Self::FinishedAt];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Priority => "priority",
            Self::Filename => "filename",
            Self::TotalBytes => "total_bytes",
            Self::FinishedAt => "finished_at",
        }
    }
}

/// Which jobs to list: `?state=active,queued&label=isos&sort=priority&limit=100&cursor=...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Only jobs in one of these states; all when empty.
    pub states: Vec<JobState>,
    /// Only jobs with this label.
    pub label: Option<String>,
    /// Only jobs from this server.
    pub host: Option<String>,
    /// Only jobs with this text in URL, label or name.
    pub q: Option<String>,
    /// What they are ordered by.
    pub sort: SortBy,
    /// The smallest first instead of the largest.
    pub ascending: bool,
    /// The fields of each job that are wanted; all when empty.
    pub fields: Vec<String>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Jobs per page, 1 to [`LIMIT_MAX`].
    pub limit: Option<u32>,
}

impl JobQuery {
    /// Reads the query of `GET /v1/jobs`.
    ///
    /// # Errors
    ///
    /// `unknown-field` or `invalid-value`, with the parameter.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "state" => parsed.states.extend(states(&value)?),
                "label" => parsed.label = Some(value.into_owned()),
                "host" => parsed.host = Some(value.into_owned()),
                "q" => parsed.q = Some(value.into_owned()),
                "sort" => parsed.sort = sort(&value)?,
                "order" => parsed.ascending = ascending(&value)?,
                "fields" => parsed.fields.extend(fields(&value)?),
                "cursor" => parsed.cursor = Some(value.into_owned()),
                "limit" => parsed.limit = Some(limit(&value)?),
                other => return Err(unknown_field(other, JOB_PARAMETERS)),
            }
        }
        Ok(parsed)
    }

    /// Writes the query, empty when there is nothing to say.
    pub fn to_query(&self) -> String {
        let mut query = Serializer::new(String::new());
        if !self.states.is_empty() {
            let words: Vec<_> = self.states.iter().map(|state| state.as_str()).collect();
            query.append_pair("state", &words.join(","));
        }
        for (name, value) in [("label", &self.label), ("host", &self.host), ("q", &self.q)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if self.sort != SortBy::default() {
            query.append_pair("sort", self.sort.as_str());
        }
        if self.ascending {
            query.append_pair("order", "asc");
        }
        if !self.fields.is_empty() {
            query.append_pair("fields", &self.fields.join(","));
        }
        if let Some(cursor) = &self.cursor {
            query.append_pair("cursor", cursor);
        }
        if let Some(limit) = self.limit {
            query.append_pair("limit", &limit.to_string());
        }
        query.finish()
    }
}

/// What `GET /v1/jobs` knows.
const JOB_PARAMETERS: &str = "`state`, `label`, `host`, `q`, `sort`, `order`, `fields`, `cursor`, `limit`";

/// Which hosts to list: `?limit=100&cursor=...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Hosts per page, 1 to [`LIMIT_MAX`].
    pub limit: Option<u32>,
}

impl HostQuery {
    /// Reads the query of `GET /v1/hosts`.
    ///
    /// # Errors
    ///
    /// `unknown-field` or `invalid-value`, with the parameter.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "cursor" => parsed.cursor = Some(value.into_owned()),
                "limit" => parsed.limit = Some(limit(&value)?),
                other => return Err(unknown_field(other, "`cursor`, `limit`")),
            }
        }
        Ok(parsed)
    }

    /// Writes the query, empty when there is nothing to say.
    pub fn to_query(&self) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(cursor) = &self.cursor {
            query.append_pair("cursor", cursor);
        }
        if let Some(limit) = self.limit {
            query.append_pair("limit", &limit.to_string());
        }
        query.finish()
    }
}

/// Which events of a job to list: `?limit=100&cursor=...`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// The events behind this one: the `next_cursor` of the page before, or the `id` of the last one that is known.
    pub cursor: Option<u64>,
    /// Events per page, 1 to [`LIMIT_MAX`].
    pub limit: Option<u32>,
}

impl EventQuery {
    /// Reads the query of `GET /v1/jobs/{id}/events`.
    ///
    /// # Errors
    ///
    /// `unknown-field` or `invalid-value`, with the parameter.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "cursor" => parsed.cursor = Some(event_id(&value)?),
                "limit" => parsed.limit = Some(limit(&value)?),
                other => return Err(unknown_field(other, "`cursor`, `limit`")),
            }
        }
        Ok(parsed)
    }

    /// Writes the query, empty when there is nothing to say.
    pub fn to_query(&self) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(cursor) = self.cursor {
            query.append_pair("cursor", &cursor.to_string());
        }
        if let Some(limit) = self.limit {
            query.append_pair("limit", &limit.to_string());
        }
        query.finish()
    }
}

/// Which events of all jobs a stream tells: `?job=17&label=isos&types=completed,failed,progress`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamQuery {
    /// Only those of this job.
    pub job: Option<u64>,
    /// Only those of jobs with this label.
    pub label: Option<String>,
    /// Only these kinds of events, and `progress`; all when empty.
    pub types: Vec<String>,
}

impl StreamQuery {
    /// Reads the query of `GET /v1/events`. Which types there are is not known here.
    ///
    /// # Errors
    ///
    /// `unknown-field` or `invalid-value`, with the parameter.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "job" => parsed.job = Some(whole(&value).ok_or_else(|| invalid_value("job", "the id of a job"))?),
                "label" => parsed.label = Some(value.into_owned()),
                "types" => parsed.types.extend(value.split(',').map(str::to_owned)),
                other => return Err(unknown_field(other, "`job`, `label`, `types`")),
            }
        }
        Ok(parsed)
    }

    /// Writes the query, empty when there is nothing to say.
    pub fn to_query(&self) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(job) = self.job {
            query.append_pair("job", &job.to_string());
        }
        if let Some(label) = &self.label {
            query.append_pair("label", label);
        }
        if !self.types.is_empty() {
            query.append_pair("types", &self.types.join(","));
        }
        query.finish()
    }
}

/// How long to wait for a change: `?wait=30&state=active`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitQuery {
    /// Seconds to wait, at most [`WAIT_SECONDS_MAX`].
    pub wait_seconds: Option<u64>,
    /// Wait until the state is no longer this one; else until the job ends.
    pub state: Option<JobState>,
}

impl WaitQuery {
    /// Reads the query of `GET /v1/jobs/{id}`. More than the longest wait is the longest wait.
    ///
    /// # Errors
    ///
    /// `unknown-field` or `invalid-value`, with the parameter.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "wait" => parsed.wait_seconds = Some(wait_seconds(&value)?),
                "state" => parsed.state = Some(state(&value)?),
                other => return Err(unknown_field(other, "`wait`, `state`")),
            }
        }
        Ok(parsed)
    }

    /// Writes the query, empty when there is nothing to say.
    pub fn to_query(&self) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(seconds) = self.wait_seconds {
            query.append_pair("wait", &seconds.to_string());
        }
        if let Some(state) = self.state {
            query.append_pair("state", state.as_str());
        }
        query.finish()
    }
}

/// What becomes of a forgotten job's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(rename_all = "snake_case"))]
pub enum Files {
    /// They stay.
    #[default]
    Keep,
    /// They are removed.
    Delete,
}

impl Files {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
        }
    }
}

/// How to forget a job: `?files=keep` or `?files=delete`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteQuery {
    /// What becomes of its files.
    pub files: Files,
}

impl DeleteQuery {
    /// Reads the query of `DELETE /v1/jobs/{id}`.
    ///
    /// # Errors
    ///
    /// `unknown-field` or `invalid-value`, with the parameter.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (name.as_ref(), value.as_ref()) {
                ("files", "keep") => parsed.files = Files::Keep,
                ("files", "delete") => parsed.files = Files::Delete,
                ("files", _) => return Err(invalid_value("files", "`keep` or `delete`")),
                (other, _) => return Err(unknown_field(other, "`files`")),
            }
        }
        Ok(parsed)
    }

    /// Writes the query.
    pub fn to_query(&self) -> String {
        format!("files={}", self.files.as_str())
    }
}

fn states(value: &str) -> Result<Vec<JobState>, Problem> {
    value.split(',').map(state).collect()
}

fn state(value: &str) -> Result<JobState, Problem> {
    JobState::from_word(value).ok_or_else(|| {
        let words = JobState::ALL.map(JobState::as_str).join("`, `");
        invalid_value("state", &format!("one of `{words}`"))
    })
}

fn sort(value: &str) -> Result<SortBy, Problem> {
    SortBy::ALL.into_iter().find(|sort| sort.as_str() == value).ok_or_else(|| {
        let words = SortBy::ALL.map(SortBy::as_str).join("`, `");
        invalid_value("sort", &format!("one of `{words}`"))
    })
}

fn ascending(value: &str) -> Result<bool, Problem> {
    match value {
        "asc" => Ok(true),
        "desc" => Ok(false),
        _ => Err(invalid_value("order", "`asc` or `desc`")),
    }
}

fn fields(value: &str) -> Result<Vec<String>, Problem> {
    let known = |field: &str| Job::FIELDS.contains(&field).then(|| field.to_owned());
    let fields: Option<Vec<String>> = value.split(',').map(known).collect();
    fields.ok_or_else(|| invalid_value("fields", &format!("fields of a job: `{}`", Job::FIELDS.join("`, `"))))
}

fn limit(value: &str) -> Result<u32, Problem> {
    value
        .parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| invalid_value("limit", &format!("a whole number from 1 to {LIMIT_MAX}")))
}

fn event_id(value: &str) -> Result<u64, Problem> {
    whole(value).ok_or_else(|| invalid_value("cursor", "the `next_cursor` of the page before, or the `id` of an event"))
}

fn wait_seconds(value: &str) -> Result<u64, Problem> {
    whole(value)
        .map(|seconds| seconds.min(WAIT_SECONDS_MAX))
        .ok_or_else(|| invalid_value("wait", "a whole number of seconds"))
}

/// A whole number, no larger than SQLite, and many a reader of the document, knows.
fn whole(value: &str) -> Option<u64> {
    value.parse().ok().filter(|number| i64::try_from(*number).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_survive_a_round_trip() {
        let list = JobQuery {
            states: vec![JobState::Active, JobState::Queued],
            label: Some("a&b c".to_owned()),
            host: Some("https://h:8".to_owned()),
            q: Some("%_".to_owned()),
            sort: SortBy::TotalBytes,
            ascending: true,
            fields: vec!["id".to_owned(), "state".to_owned()],
            cursor: Some("17".to_owned()),
            limit: Some(5),
        };
        assert_eq!(JobQuery::parse(&list.to_query()), Ok(list));
        assert_eq!(JobQuery::parse(""), Ok(JobQuery::default()));
        assert_eq!(JobQuery::default().to_query(), "");

        let hosts = HostQuery { cursor: Some("https://a.example:8443".to_owned()), limit: Some(5) };
        assert_eq!(HostQuery::parse(&hosts.to_query()), Ok(hosts));
        assert_eq!(HostQuery::default().to_query(), "");

        let events = EventQuery { cursor: Some(4711), limit: Some(5) };
        assert_eq!(EventQuery::parse(&events.to_query()), Ok(events));
        assert_eq!(EventQuery::default().to_query(), "");

        let types = vec!["completed".to_owned(), "progress".to_owned()];
        let stream = StreamQuery { job: Some(17), label: Some("a&b c".to_owned()), types };
        assert_eq!(StreamQuery::parse(&stream.to_query()), Ok(stream));
        assert_eq!(StreamQuery::default().to_query(), "");

        let wait = WaitQuery { wait_seconds: Some(30), state: Some(JobState::Probing) };
        assert_eq!(wait.to_query(), "wait=30&state=probing");
        assert_eq!(WaitQuery::parse(&wait.to_query()), Ok(wait));

        let delete = DeleteQuery { files: Files::Delete };
        assert_eq!(DeleteQuery::parse(&delete.to_query()), Ok(delete));
        assert_eq!(DeleteQuery::parse(""), Ok(DeleteQuery::default()));
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, code, field) in [
            ("limit=0", "invalid-value", "limit"),
            ("limit=1001", "invalid-value", "limit"),
            ("limit=", "invalid-value", "limit"),
            ("state=active,done", "invalid-value", "state"),
            ("page=2", "unknown-field", "page"),
            ("sort=url", "invalid-value", "sort"),
            ("order=up", "invalid-value", "order"),
            ("fields=id,secret", "invalid-value", "fields"),
            ("fields=", "invalid-value", "fields"),
        ] {
            let problem = JobQuery::parse(query).expect_err("the query is wrong");
            assert_eq!(problem.code, code, "{query}");
            assert_eq!(problem.field.as_deref(), Some(field), "{query}");
        }
        assert!(HostQuery::parse("limit=0").is_err() && HostQuery::parse("state=active").is_err());
        for query in ["cursor=", "cursor=-1", "cursor=a", "limit=0", "order=asc"] {
            assert!(EventQuery::parse(query).is_err(), "{query}");
        }
        assert!(StreamQuery::parse("job=a").is_err() && StreamQuery::parse("limit=1").is_err());
        assert!(WaitQuery::parse("wait=-1").is_err());
        assert!(DeleteQuery::parse("files=maybe").is_err());
    }

    #[test]
    fn a_longer_wait_than_permitted_is_the_longest() {
        let wait = WaitQuery::parse("wait=3600").expect("a number of seconds");
        assert_eq!(wait.wait_seconds, Some(WAIT_SECONDS_MAX));
    }
}
