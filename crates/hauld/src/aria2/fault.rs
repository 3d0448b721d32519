//! Why a call was not carried out, as aria2 says it.

use haul_api::Problem;
use haul_store::StoreError;
use serde_json::{Value, json};

use crate::api::{Refused, driver_error};
use crate::driver::DriverError;

/// The code of everything that goes wrong within a method.
const FAILED: i32 = 1;

/// What clients compare with, letter by letter.
const UNAUTHORIZED: &str = "Unauthorized";

/// An error of the dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    code: i32,
    /// Of the HTTP answer, where it is the only one.
    status: u16,
    message: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { code: FAILED, status: 400, message: message.into() }
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(UNAUTHORIZED)
    }

    pub(super) fn no_method(name: &str) -> Self {
        Self::new(format!("No such method: {name}"))
    }

    pub(super) fn wrong_type(at: usize) -> Self {
        Self::new(format!("The parameter at {at} has wrong type."))
    }

    pub(super) fn missing(at: usize) -> Self {
        Self::new(format!("The parameter at {at} is required but missing."))
    }

    /// The value of an option cannot be used.
    pub(super) fn option(name: &str, help: &str) -> Self {
        Self::new(format!("We encountered a problem while processing the option '--{name}'. {help}"))
    }

    pub(super) fn too_much(most: &str) -> Self {
        Self::new(format!("this message asks for too much: {most} at most; ask in several messages"))
    }

    pub(super) fn invalid_request() -> Self {
        Self { code: -32600, status: 400, message: "Invalid Request.".to_owned() }
    }

    pub(super) fn invalid_params() -> Self {
        // DESIGN.md ruling 11: the dialect demands it for these two.
        Self { code: -32602, status: 500, message: "Invalid params.".to_owned() }
    }

    pub(super) fn parse_error() -> Self {
        Self { code: -32700, status: 500, message: "Parse error.".to_owned() }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn body(&self) -> Value {
        json!({"code": self.code, "message": self.message})
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::new(problem.detail)
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        refused.0.into()
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Refused::from(error).into()
    }
}

impl From<DriverError> for Fault {
    fn from(error: DriverError) -> Self {
        driver_error(None, error).into()
    }
}
