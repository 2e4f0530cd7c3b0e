//! The errors that fitting and chat counting report to a host.

/// What kind of mistake it was; a host maps each to a SQLSTATE of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The messages or tools are not what the API takes (22P02).
    Malformed,
    /// An argument or option has a value that makes no sense (22023).
    InvalidArgument,
    /// A documented limit was passed (54000).
    TooLarge,
}

/// An error in PostgreSQL's shape: a primary message in lower case, then sentences. It never
/// holds text of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CoreError {
    pub kind: ErrorKind,
    pub message: String,
    /// What was found.
    pub detail: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl CoreError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
