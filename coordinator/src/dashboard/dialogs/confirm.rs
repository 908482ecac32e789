//! A question before something is lost. Data only.

use crate::dashboard::app::effect::Call;

/// A question before something is lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirm {
    /// What is asked.
    pub question: String,
    /// What would be lost, one thing a line.
    pub losses: Vec<String>,
    /// The word on the button that does it.
    pub verb: &'static str,
    /// What it is called while it is under way.
    pub what: String,
    /// What is done.
    pub call: Call,
    /// Whether that button has the focus; `Cancel` has it at first.
    pub on_verb: bool,
}
