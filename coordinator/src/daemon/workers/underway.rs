//! What the daemon is doing with a worker, one thing at a time.
//!
//! Owns the order of such things: a removal outlives a recreation that is under way and ends whatever
//! else is. Never says in which state the worker is: that is the fleet's.

/// What is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::daemon) enum Underway {
    #[default]
    Nothing,
    /// The main session is being stopped, and is to be followed by this one.
    Restart(String),
    /// Its agent is asked which session followed the main one, and perhaps it is this one.
    Describe(Option<String>),
    /// Its container is being recreated.
    Recreate,
    /// It is being removed: what its agent says from here on is no news.
    Removal {
        /// What recreates its container has not ended yet.
        recreating: bool,
    },
}

impl Underway {
    /// Whether it is being removed.
    pub fn removes(&self) -> bool {
        matches!(self, Self::Removal { .. })
    }

    /// Whether something creates a container for it.
    pub fn recreates(&self) -> bool {
        matches!(self, Self::Recreate | Self::Removal { recreating: true })
    }

    /// Whether its agent is being asked which session followed the main one.
    pub fn describes(&self) -> bool {
        matches!(self, Self::Describe(_))
    }

    /// The session that is to follow the main one.
    pub fn restart(&self) -> Option<&str> {
        match self {
            Self::Restart(next) | Self::Describe(Some(next)) => Some(next),
            _ => None,
        }
    }

    /// A removal begins.
    pub fn begin_removal(&mut self) {
        let recreating = self.recreates();
        *self = Self::Removal { recreating };
    }

    /// The worker stays after all.
    pub fn end_removal(&mut self) {
        if let Self::Removal { recreating } = *self {
            *self = if recreating {
                Self::Recreate
            } else {
                Self::Nothing
            };
        }
    }

    /// A recreation begins, unless something removes or recreates the worker already.
    pub fn begin_recreation(&mut self) -> bool {
        let free = !self.removes() && !self.recreates();
        if free {
            *self = Self::Recreate;
        }
        free
    }

    /// The recreation has ended, well or not.
    pub fn end_recreation(&mut self) {
        match self {
            Self::Recreate => *self = Self::Nothing,
            Self::Removal { recreating } => *recreating = false,
            Self::Nothing | Self::Restart(_) | Self::Describe(_) => {}
        }
    }

    /// A restart ends, or is called off.
    pub fn end_restart(&mut self) {
        match self {
            Self::Restart(_) => *self = Self::Nothing,
            Self::Describe(next) => *next = None,
            Self::Nothing | Self::Recreate | Self::Removal { .. } => {}
        }
    }

    /// Its agent is to be asked; `false` when it is being asked, or nothing of it is of interest.
    pub fn begin_describing(&mut self) -> bool {
        match self {
            Self::Nothing => *self = Self::Describe(None),
            Self::Restart(next) => *self = Self::Describe(Some(std::mem::take(next))),
            Self::Describe(_) | Self::Recreate | Self::Removal { .. } => return false,
        }
        true
    }

    /// Its agent was asked.
    pub fn end_describing(&mut self) {
        if let Self::Describe(next) = self {
            *self = next.take().map_or(Self::Nothing, Self::Restart);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_waits_for_a_recreation_and_ends_everything_else() {
        let mut underway = Underway::default();
        assert!(underway.begin_recreation());
        assert!(!underway.begin_recreation());
        underway.begin_removal();
        assert!(underway.removes() && underway.recreates());
        underway.end_recreation();
        assert_eq!(underway, Underway::Removal { recreating: false });
        assert!(!underway.begin_recreation() && !underway.begin_describing());

        let mut underway = Underway::Restart("s2".to_owned());
        underway.begin_removal();
        assert_eq!(underway.restart(), None);
        underway.end_restart();
        assert!(underway.removes() && !underway.recreates());
        underway.end_removal();
        assert_eq!(underway, Underway::Nothing);
    }

    #[test]
    fn a_restart_outlives_the_question_what_the_agent_runs() {
        let mut underway = Underway::Restart("s2".to_owned());
        assert!(underway.begin_describing());
        assert!(!underway.begin_describing());
        assert_eq!(underway.restart(), Some("s2"));
        underway.end_describing();
        assert_eq!(underway, Underway::Restart("s2".to_owned()));
        assert!(underway.begin_describing());
        underway.end_restart();
        underway.end_describing();
        assert_eq!(underway, Underway::Nothing);
    }
}
