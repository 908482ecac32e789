//! What a session is started with: its environment and its start message.
//!
//! One order for every session, the main one, `exec` and one that is started again: what the image says,
//! then what Podbay knows (name, ports, home, proxy), then what the caller's terminal says (`NO_COLOR`,
//! `TZ` and the like), then the profile, then the request. A session of `exec` has the main one's profile
//! and request below its own variables. An image's `PORT` or `HOME` is about another world and never wins.

use crate::daemon::{
    Daemon, claims::resolved::Resolved, helpers::netguard, workers::record::Record,
};
use crate::{
    model::{Egress, WorkerId, WorkerName},
    store::ClaimRecord,
    wire::{ApiError, ErrorKind},
};
use podbay_protocol::{StartSession, paths};
use std::collections::BTreeMap;

/// Variables by name.
pub(in crate::daemon) type Variables = BTreeMap<String, String>;

/// What an image may choose differently.
const DEFAULTS: [(&str, &str); 1] = [("LANG", "C.UTF-8")];
/// Every variable of this prefix is Podbay's.
const OURS: &str = "PODBAY_";
/// Proxies that an image may name and that are not used beside Podbay's own.
const OTHER_PROXIES: [&str; 4] = ["ALL_PROXY", "all_proxy", "FTP_PROXY", "ftp_proxy"];

/// What Podbay knows of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) struct Facts<'a> {
    pub name: &'a WorkerName,
    pub worker: &'a WorkerId,
    /// The worker's own uid: ports go by it.
    pub own_uid: u32,
    /// What the session runs as.
    pub uid: u32,
    pub egress: &'a Egress,
}

impl Facts<'_> {
    /// As variables.
    pub fn variables(&self) -> Variables {
        let port = netguard::first_port(self.own_uid).to_string();
        [
            ("PODBAY_NAME", self.name.to_string()),
            ("PODBAY_WORKER", self.worker.to_string()),
            ("PODBAY_PORT_BASE", port.clone()),
            ("PORT", port),
            ("HOME", home_of(self.uid).to_owned()),
            ("USER", user_of(self.uid).to_owned()),
            ("LOGNAME", user_of(self.uid).to_owned()),
            ("TERM", "xterm-256color".to_owned()),
        ]
        .into_iter()
        .chain(netguard::proxy_env(self.egress))
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}

/// Home of a session of this uid.
pub(in crate::daemon) fn home_of(uid: u32) -> &'static str {
    if uid == 0 { "/root" } else { paths::HOME }
}

/// User of a session of this uid.
pub(in crate::daemon) fn user_of(uid: u32) -> &'static str {
    if uid == 0 { "root" } else { "podbay" }
}

/// A session's whole environment; each part wins over the ones before it.
pub(in crate::daemon) fn environment(
    image: Variables,
    own: Variables,
    caller: Variables,
    profile: Variables,
    request: Variables,
) -> Variables {
    let proxied = own.contains_key("HTTP_PROXY");
    let mut env: Variables = DEFAULTS
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    env.extend(image.into_iter().filter(|(key, _)| {
        let other_proxy = proxied && OTHER_PROXIES.contains(&key.as_str());
        !(other_proxy || key.starts_with(OURS))
    }));
    env.extend(own);
    env.extend(caller);
    env.extend(profile);
    env.extend(request);
    env
}

/// The environment of a session's former start, with what Podbay knows now in place of what it knew
/// then; what a person set to something else stays, save what is Podbay's by its name: the worker may
/// have been renamed since.
pub(in crate::daemon) fn renewed(
    mut env: Variables,
    then: &Variables,
    now: Variables,
) -> Variables {
    env.retain(|key, value| !key.starts_with(OURS) && then.get(key) != Some(value));
    for (key, value) in now {
        env.entry(key).or_insert(value);
    }
    env
}

/// What profile and claim gave the main session, of the environment that it was started with: neither
/// the image's (`image`), nor what Podbay knew (`own`), nor what its caller's terminal said.
fn given(
    mut env: Variables,
    image: &Variables,
    own: &Variables,
    from_caller: &[String],
) -> Variables {
    env.retain(|key, value| {
        !(key.starts_with(OURS)
            || from_caller.contains(key)
            || own.get(key) == Some(value)
            || image.get(key) == Some(value)
            || DEFAULTS.contains(&(key.as_str(), value.as_str())))
    });
    env
}

impl Daemon {
    /// The environment of a session beside the main one, which gets what that was given. The agent
    /// alone has it, so it is asked; secrets are not among the variables that it tells. Without its
    /// answer the session has what the configuration says.
    pub(in crate::daemon) async fn exec_env(
        &self,
        claim: &ClaimRecord,
        uid: u32,
        caller: Variables,
        asked: Variables,
    ) -> Variables {
        let mut request = match self.ask_origin(&claim.id, &claim.session).await {
            Some(start) => given(
                start.env,
                &self.image_env(&claim.profile),
                &self.own_variables(claim, claim.uid),
                &claim.from_caller,
            ),
            None => Variables::new(),
        };
        request.extend(asked);
        self.session_env(claim, uid, caller, request)
    }

    /// First and last port of a worker's own, by its uid.
    pub(in crate::daemon) fn ports_of(&self, uid: u32) -> (u16, u16) {
        let first = netguard::first_port(uid);
        (first, first + (netguard::PORTS_PER_WORKER - 1))
    }

    /// What is known of a claim's session that runs as `uid`.
    pub(in crate::daemon) fn own_variables(&self, claim: &ClaimRecord, uid: u32) -> Variables {
        let state = self.lock();
        let known: Option<&Record> = state.records.get(&claim.id);
        Facts {
            name: &claim.name,
            worker: &claim.id,
            own_uid: known.map_or(uid, |r| r.uid),
            uid,
            egress: known.map_or(&Egress::Open, |r| &r.egress),
        }
        .variables()
    }

    /// The environment of a session in a claim's worker. `caller` is what its caller's terminal says,
    /// `asked` the request's own.
    pub(in crate::daemon) fn session_env(
        &self,
        claim: &ClaimRecord,
        uid: u32,
        caller: Variables,
        asked: Variables,
    ) -> Variables {
        let config = self.config();
        let profile = config.profiles.get(&claim.profile);
        environment(
            self.image_env(&claim.profile),
            self.own_variables(claim, uid),
            caller,
            profile.map(|p| p.env.clone()).unwrap_or_default(),
            asked,
        )
    }

    pub(in crate::daemon) fn start_message(
        &self,
        record: &ClaimRecord,
        resolved: &Resolved,
    ) -> Result<StartSession, ApiError> {
        let carried = self
            .claim_key
            .seal(record)
            .map_err(|e| ApiError::new(ErrorKind::Internal, format!("the claim's record: {e}")))?;
        let cwd = if resolved.project.is_some() {
            paths::WORKSPACE
        } else {
            paths::HOME
        };
        Ok(StartSession {
            session: record.session.clone(),
            argv: resolved.argv.clone(),
            env: self.session_env(
                record,
                record.uid,
                resolved.caller_env.clone(),
                resolved.env.clone(),
            ),
            cwd: cwd.to_owned(),
            uid: record.uid,
            gid: record.gid,
            user: user_of(record.uid).to_owned(),
            home: home_of(record.uid).to_owned(),
            io: resolved.io,
            record: true,
            primary: true,
            claim: Some(carried),
            attach: None,
            timeout_s: resolved.timeout_s,
            secrets: resolved.secrets.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Variables {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn own(egress: &Egress) -> Variables {
        Facts {
            name: &"mine".parse().unwrap(),
            worker: &WorkerId::from_bits(7),
            own_uid: crate::model::FIRST_UID + 2,
            uid: crate::model::FIRST_UID + 2,
            egress,
        }
        .variables()
    }

    #[test]
    fn an_image_never_wins_over_what_podbay_knows() {
        let image = of(&[
            ("PORT", "8080"),
            ("HOME", "/nowhere"),
            ("USER", "app"),
            ("TERM", "dumb"),
            ("PODBAY_NAME", "forged"),
            ("PODBAY_INVENTED", "1"),
            ("HTTP_PROXY", "http://192.0.2.1"),
            ("ALL_PROXY", "socks5://192.0.2.1"),
            ("LANG", "de_DE.UTF-8"),
            ("PATH", "/opt/bin:/bin"),
        ]);
        let own = own(&"deny".parse().unwrap());
        let env = environment(image, own.clone(), of(&[]), of(&[]), of(&[]));
        for (key, value) in &own {
            assert_eq!(env.get(key), Some(value), "{key}");
        }
        assert_eq!(env["PORT"], "20040");
        assert!(!env.contains_key("PODBAY_INVENTED") && !env.contains_key("ALL_PROXY"));
        // What is the image's own choice stays.
        assert_eq!(env["LANG"], "de_DE.UTF-8");
        assert_eq!(env["PATH"], "/opt/bin:/bin");
    }

    #[test]
    fn the_request_wins_over_the_profile_and_both_over_podbay() {
        let env = environment(
            of(&[("A", "image"), ("TZ", "image"), ("COLORTERM", "image")]),
            own(&Egress::Open),
            of(&[("A", "caller"), ("B", "caller"), ("TZ", "caller")]),
            of(&[("PORT", "1"), ("B", "profile")]),
            of(&[("PORT", "2"), ("A", "request")]),
        );
        assert_eq!(
            (&*env["PORT"], &*env["A"], &*env["B"]),
            ("2", "request", "profile")
        );
        assert_eq!(env["LANG"], "C.UTF-8");
        // What a caller's terminal says is more than an image knows.
        assert_eq!((&*env["TZ"], &*env["COLORTERM"]), ("caller", "image"));
    }

    #[test]
    fn a_second_session_gets_what_the_main_one_was_given() {
        let image = of(&[("PATH", "/opt/bin"), ("A", "image"), ("B", "image")]);
        let own = own(&Egress::Open);
        let caller = of(&[("NO_COLOR", "1")]);
        let claim = of(&[("A", "claim"), ("PORT", "1"), ("FOO", "1")]);
        let profile = of(&[("P", "profile"), ("FOO", "profile")]);
        let main = environment(image.clone(), own.clone(), caller, profile, claim);
        let given = given(main, &image, &own, &["NO_COLOR".to_owned()]);
        assert_eq!(
            given,
            of(&[
                ("A", "claim"),
                ("PORT", "1"),
                ("FOO", "1"),
                ("P", "profile")
            ])
        );
        let asked: Variables = given.into_iter().chain(of(&[("FOO", "exec")])).collect();
        let env = environment(image, own, of(&[("COLORTERM", "24bit")]), of(&[]), asked);
        assert_eq!(
            (&*env["FOO"], &*env["A"], &*env["B"]),
            ("exec", "claim", "image")
        );
        assert!(env.contains_key("COLORTERM") && !env.contains_key("NO_COLOR"));
    }

    #[test]
    fn a_former_environment_gets_what_is_true_now_and_keeps_what_a_person_chose() {
        let then = of(&[("PODBAY_NAME", "old"), ("PORT", "1"), ("HTTP_PROXY", "p")]);
        let env = of(&[
            ("PODBAY_NAME", "older"),
            ("PORT", "99"),
            ("HTTP_PROXY", "p"),
            ("FOO", "x"),
        ]);
        let now = of(&[("PODBAY_NAME", "new"), ("PORT", "2")]);
        let expected = of(&[("PODBAY_NAME", "new"), ("PORT", "99"), ("FOO", "x")]);
        assert_eq!(renewed(env, &then, now), expected);
    }
}
