//! What a request carries through the service, so that it leaves exactly one entry: in its transaction, or, where it is
//! refused or changes nothing, alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The operation of a request, and whether the trail has it. Clones share the latter.
#[derive(Debug, Clone, Default)]
pub struct Ticket {
    operation: Option<&'static str>,
    subject: Option<String>,
    recorded: Arc<AtomicBool>,
}

impl Ticket {
    /// For an operation on what the request names (`None`: it names nothing, such as CreateKey).
    #[must_use]
    pub fn new(operation: &'static str, subject: Option<&str>) -> Self {
        // What is no name is not repeated: a client may have put anything there.
        let named = subject.filter(|text| {
            text.len() <= 255 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_/+=.-@:".contains(&b))
        });
        Self { operation: Some(operation), subject: named.map(str::to_owned), recorded: Arc::default() }
    }

    /// The operation's name.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation.unwrap_or("unnamed")
    }

    /// What the request names, as it names it.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Notes that its entry is committed.
    pub fn settle(&self) {
        self.recorded.store(true, Ordering::SeqCst);
    }

    /// True once its entry is committed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.recorded.load(Ordering::SeqCst)
    }
}

impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        (self.operation, &self.subject) == (other.operation, &other.subject)
    }
}

impl Eq for Ticket {}
