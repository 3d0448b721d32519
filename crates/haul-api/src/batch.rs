//! The answer to a batch: per item a job, or why there is none.

use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::problem::Problem;

/// The answer to a batch, in the order of its items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchResult {
    /// One result per item.
    pub results: Vec<BatchItem>,
}

/// What became of one item of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchItem {
    /// The status that the item would have got alone.
    pub status: u16,
    /// `job` or `problem`.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Of a file in a Metalink: its URLs that are not used, because haul cannot fetch from them or there are enough.
    #[serde(default, skip_serializing_if = "is_none")]
    pub urls_dropped: usize,
}

/// A job, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The item was accepted.
    Job(Box<Job>),
    /// The item was refused.
    Problem(Problem),
}

impl BatchItem {
    /// The result of an item that became a new job.
    pub fn created(job: Job) -> Self {
        Self { status: 201, outcome: Outcome::Job(Box::new(job)), urls_dropped: 0 }
    }

    /// The result of an item that is the same as a job that is there.
    pub fn there(job: Job) -> Self {
        Self { status: 200, outcome: Outcome::Job(Box::new(job)), urls_dropped: 0 }
    }

    /// The result of an item that was refused.
    pub fn refused(problem: Problem) -> Self {
        Self { status: problem.status, outcome: Outcome::Problem(problem), urls_dropped: 0 }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::{job, job_json};
    use crate::problem::ProblemCode;

    #[test]
    fn a_batch_result_holds_a_job_or_a_problem_per_item() {
        let problem = Problem::new(ProblemCode::InvalidUrl, "no").with_field("url");
        let batch = BatchResult { results: vec![BatchItem::created(job()), BatchItem::refused(problem)] };
        let wire = serde_json::to_value(&batch).expect("plain data");
        assert_eq!(wire["results"][0]["status"], 201);
        assert_eq!(wire["results"][0]["job"], job_json());
        assert_eq!(wire["results"][1]["status"], 422);
        assert_eq!(wire["results"][1]["problem"]["code"], "invalid-url");
        assert_eq!(wire["results"][1].get("job"), None);
        assert_eq!(wire["results"][0].get("urls_dropped"), None);
        let back: BatchResult = serde_json::from_value(wire).expect("it was just written");
        assert_eq!(back, batch);
    }
}
