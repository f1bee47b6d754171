//! What is wrong with a policy, and where.

use thiserror::Error;

/// A policy that is refused. Its text names the place, what was found there and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// More bytes than a policy may have.
    #[error("it has {found} bytes; at most {allowed} are allowed")]
    TooLong {
        /// Bytes.
        found: usize,
        /// The limit.
        allowed: usize,
    },
    /// It is no JSON, or has a name twice in one object.
    #[error("line {line}, column {column}: {reason}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// It is JSON and no policy.
    #[error("{path}: found {found}; allowed: {allowed}")]
    Wrong {
        /// Where, as a JSON path such as `$.Statement[2].Effect`.
        path: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        allowed: String,
    },
}
