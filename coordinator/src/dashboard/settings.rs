//! Settings.
use super::{
    keymap::{Keymap, Preset},
    theme::Theme,
};
use std::collections::BTreeMap;

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Preset.
    pub preset: Preset,
    /// Overrides.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Leave.
    pub leave_keys: Vec<String>,
    /// Mouse.
    pub mouse: bool,
    /// Notifications.
    pub notifications: Notifications,
}

/// Notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notifications {
    All,
    Bell,
    Off,
}

impl Notifications {
    pub fn next(self) -> Self {
        match self {
            Self::All => Self::Bell,
            Self::Bell => Self::Off,
            Self::Off => Self::All,
        }
    }
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Bell => "bell",
            Self::Off => "off",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            preset: Preset::Default,
            keys: BTreeMap::new(),
            leave_keys: vec!["ctrl-q".into()],
            mouse: true,
            notifications: Notifications::All,
        }
    }
}

impl Settings {
    pub fn keymap(&self) -> (Keymap, Vec<String>) {
        Keymap::new(self.preset, &self.keys)
    }
    pub fn theme(&self) -> Theme {
        Theme::from_env()
    }
    pub fn leave_label(&self) -> String {
        "Ctrl-Q".into()
    }
}
