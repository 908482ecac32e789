//! What is known of the last copy-on-write claims.
//!
//! Owns the project that was claimed last in each profile, and how many claims found their overlay made.
//! Never asks the mounter.

use crate::{model::HostPath, mounter_client::Mounted};
use std::collections::BTreeMap;

/// Profiles whose last project is remembered.
const MAX_PROFILES: usize = 64;

/// By profile.
#[derive(Debug, Default)]
pub(in crate::daemon) struct OverlayClaims {
    projects: BTreeMap<String, HostPath>,
    ahead: u64,
    then: u64,
}

impl OverlayClaims {
    /// A claim has its project.
    pub(super) fn claimed(&mut self, profile: &str, mounted: &Mounted) {
        if mounted.prepared == Some(true) {
            self.ahead += 1;
        } else {
            self.then += 1;
        }
        if !self.projects.contains_key(profile) && self.projects.len() >= MAX_PROFILES {
            self.projects.pop_first();
        }
        let project = mounted.project.clone();
        self.projects.insert(profile.to_owned(), project);
    }

    /// The project that was claimed last.
    pub(super) fn project(&self, profile: &str) -> Option<&HostPath> {
        self.projects.get(profile)
    }

    /// Claims whose overlay was made ahead, and others.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.ahead, self.then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(project: &str, prepared: bool) -> Mounted {
        Mounted {
            project: HostPath::new(project),
            dev: 1,
            ino: 2,
            fsid: None,
            owner_uid: 3,
            owner_gid: 3,
            session_uid: 4,
            session_gid: 4,
            idmapped: true,
            idmap_reason: None,
            prepared: Some(prepared),
            left_out: Vec::new(),
            left_out_more: false,
            took_us: 5,
        }
    }

    #[test]
    fn the_last_project_of_each_profile_is_known_and_profiles_are_bounded() {
        let mut claims = OverlayClaims::default();
        claims.claimed("a", &mounted("/p", false));
        claims.claimed("a", &mounted("/q", true));
        assert_eq!(claims.project("a"), Some(&HostPath::new("/q")));
        assert_eq!(claims.project("b"), None);
        assert_eq!(claims.counts(), (1, 1));
        for n in 0..=MAX_PROFILES {
            claims.claimed(&format!("p{n:03}"), &mounted("/r", true));
        }
        assert_eq!(claims.projects.len(), MAX_PROFILES);
        assert!(claims.project("a").is_none() && claims.project("p064").is_some());
    }
}
