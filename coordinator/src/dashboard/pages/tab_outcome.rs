//! What an action in the changes or the logs led to. Data only.

use crate::dashboard::{app::effect::Effect, dialogs::confirm::Confirm};

/// The result of an action in a tab.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TabOutcome {
    /// To be done.
    pub effects: Vec<Effect>,
    /// Good news.
    pub said: Option<String>,
    /// Why nothing is done.
    pub refused: Option<String>,
    /// To be asked first.
    pub ask: Option<Confirm>,
}

impl TabOutcome {
    pub fn refuse(why: impl Into<String>) -> Self {
        Self {
            refused: Some(why.into()),
            ..Self::default()
        }
    }

    pub fn effects(effects: Vec<Effect>) -> Self {
        Self {
            effects,
            ..Self::default()
        }
    }
}
