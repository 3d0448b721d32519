//! Whoever has made the request that is being handled.

use haul_store::{JobRow, Scope, TokenId};

tokio::task_local! {
    static CALLER: Caller;
}

/// Whoever has made a request, as the guard has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) scope: Scope,
    /// `None` where no stored token was needed.
    pub(crate) token: Option<TokenId>,
}

impl Caller {
    /// The owner of the daemon.
    pub(crate) const OWNER: Self = Self { scope: Scope::Admin, token: None };

    /// Who may do nothing.
    pub(crate) const NOBODY: Self = Self { scope: Scope::Submit, token: None };

    /// Whoever has made the request that this task handles. Where that is not known it is somebody who may do nothing.
    pub(crate) fn current() -> Self {
        CALLER.try_with(|caller| *caller).unwrap_or(Self::NOBODY)
    }

    /// Handles a request of this caller.
    pub(crate) async fn handle<T>(self, handling: impl Future<Output = T>) -> T {
        CALLER.scope(self, handling).await
    }

    /// Whether queries of URLs are shown: they may hold secrets.
    pub(crate) fn sees_queries(self) -> bool {
        self.scope == Scope::Admin
    }

    /// Whether a job is shown.
    pub(crate) fn sees(self, row: &JobRow) -> bool {
        match self.only_of() {
            Some(token) => row.maker.is_some_and(|maker| maker.token == token),
            None => true,
        }
    }

    /// The token whose jobs alone are shown, for those who do not see all of them.
    pub(crate) fn only_of(self) -> Option<TokenId> {
        // No token has the highest number.
        (self.scope == Scope::Submit).then(|| self.token.unwrap_or(TokenId(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_not_known_sees_nothing() {
        assert_eq!(Caller::current().only_of(), Some(TokenId(u64::MAX)));
        assert!(!Caller::current().sees_queries());
        assert!(Caller::OWNER.handle(async { Caller::current().sees_queries() }).await);
    }
}
