//! From what a client asked for to what will be done; every check that needs no worker.

use crate::daemon::{Daemon, claims::resolved::Resolved};
use crate::{
    config::{Config, Profile},
    guard_client::FIRST_UID,
    model::{
        HostPath, Isolation, Limits, MAX_DURATION_S, VARIABLE_RULE, WorkerName, caller_env_fault,
        is_variable_name, parse_bytes, parse_cpus, parse_pids,
    },
    runtime::allows_root,
    wire::{ApiError, ErrorKind, HotMounts, LimitsRequest, SpawnRequest},
};
use podbay_protocol::{MAX_SECRET, SHORTEST_REDACTED, Secret};
use std::collections::BTreeMap;

/// Secrets of one session.
const MOST_SECRETS: usize = 64;
/// Bytes of one argument, or of one variable with its name: `MAX_ARG_STRLEN` less the NUL byte
/// (execve(2)).
const MAX_STRING: usize = 128 * 1024 - 1;

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::Invalid, message)
}

impl Daemon {
    pub(in crate::daemon) fn resolve(&self, request: SpawnRequest) -> Result<Resolved, ApiError> {
        let hot = self.lock().hot.clone();
        let config = self.config();
        let resolved = resolve(&config, &hot, request)?;
        if let Some(profile) = config.profiles.get(&*resolved.profile) {
            self.check_guard(&profile.egress)?;
            let uid = if resolved.root { 0 } else { FIRST_UID };
            crate::daemon::helpers::netguard::holds(&profile.egress, FIRST_UID, uid)?;
        }
        self.check_size(&resolved)?;
        Ok(resolved)
    }
}

fn resolve(config: &Config, hot: &HotMounts, request: SpawnRequest) -> Result<Resolved, ApiError> {
    let profile_name = request
        .profile
        .unwrap_or_else(|| config.defaults.profile.clone());
    let profile = config
        .profiles
        .get(&profile_name)
        .ok_or_else(|| no_profile(config, &profile_name))?;
    let name = match request.name {
        Some(name) => Some(WorkerName::new(name).map_err(|e| invalid(e.to_string()))?),
        None => None,
    };
    let argv = if request.argv.is_empty() {
        profile.command.clone()
    } else {
        request.argv
    };
    check_argv(&argv)?;
    check_env(&request.env)?;
    check_caller_env(&request.caller_env)?;
    check_secrets(&request.secrets)?;
    check_no_secret(&argv, &request.secrets)?;
    let (project, isolation) = place(request.project, request.isolation, profile)?;
    let force_cold = fallback(project.as_ref(), isolation, hot)?;
    if request.root && !allows_root(profile.security) {
        return Err(no_root());
    }
    let limits = limits(&request.limits, profile.limits)?;
    check_timeout(request.timeout_s)?;
    let mut caller_env = request.caller_env;
    caller_env.retain(|key, _| !(profile.env.contains_key(key) || request.env.contains_key(key)));
    let env_given = !request.env.is_empty() || !request.secrets.is_empty();
    Ok(Resolved {
        profile: profile_name.into(),
        name,
        project,
        isolation,
        limits,
        env: request.env,
        caller_env,
        secrets: request.secrets,
        argv,
        io: request.io,
        remove: request.remove,
        timeout_s: request.timeout_s,
        when_empty: request.when_empty,
        root: request.root,
        force_cold,
        env_given,
        restarts: 0,
        note: None,
    })
}

/// The profile of a claim that was served before.
///
/// # Errors
/// It is not in the configuration any more.
pub(in crate::daemon) fn configured<'a>(
    config: &'a Config,
    name: &str,
) -> Result<&'a Profile, ApiError> {
    config.profiles.get(name).ok_or_else(|| {
        let message = format!("the profile {name:?} is gone from the configuration");
        ApiError::new(ErrorKind::NotFound, message)
    })
}

/// Root is refused where `/proc` has nothing hidden.
pub(in crate::daemon) fn no_root() -> ApiError {
    let message = "the security profile nested-sandbox has no root sessions: nothing of /proc is \
                   hidden there";
    ApiError::new(ErrorKind::Refused, message)
        .hint("leave --root out, or use a profile with security = \"strict\" or \"build\"")
}

fn no_profile(config: &Config, name: &str) -> ApiError {
    let known: Vec<&str> = config.profiles.keys().map(String::as_str).collect();
    ApiError::new(ErrorKind::NotFound, format!("no profile {name:?}"))
        .hint(format!("the profiles are: {}", known.join(", ")))
}

pub(in crate::daemon) fn check_argv(argv: &[String]) -> Result<(), ApiError> {
    if argv.first().is_none_or(String::is_empty) {
        return Err(
            invalid("no command to start").hint("give one after --, or set it in the profile")
        );
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err(invalid("the command contains a NUL byte"));
    }
    match argv.iter().enumerate().find(|(_, w)| w.len() > MAX_STRING) {
        Some((at, word)) => Err(invalid(format!(
            "argument {at} of the command has {} bytes; Linux takes at most {MAX_STRING}",
            word.len()
        ))
        .hint("put it into a file of the project, or send it to the command's input")),
        None => Ok(()),
    }
}

pub(in crate::daemon) fn check_env(env: &BTreeMap<String, String>) -> Result<(), ApiError> {
    match env
        .iter()
        .find(|(k, v)| k.is_empty() || k.contains(['=', '\0']) || v.contains('\0'))
    {
        Some((key, _)) => Err(invalid(format!("invalid environment variable {key:?}"))
            .hint("a name is not empty and has no '=' or NUL; a value has no NUL")),
        None => Ok(()),
    }?;
    match env.iter().find(|(k, v)| k.len() + 1 + v.len() > MAX_STRING) {
        Some((key, value)) => Err(invalid(format!(
            "the environment variable {:.60} has {} bytes; Linux takes at most {MAX_STRING}",
            key,
            key.len() + 1 + value.len()
        ))
        .hint("put it into a file of the project")),
        None => Ok(()),
    }
}

/// Anything else belongs into the request's own variables.
pub(in crate::daemon) fn check_caller_env(
    caller_env: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    match caller_env_fault(caller_env) {
        Some((name, wrong)) => {
            let message = format!("the caller's variable {name:.60?} {wrong}");
            Err(invalid(message).hint("send it in env"))
        }
        None => Ok(()),
    }
}

fn check_timeout(timeout_s: Option<u64>) -> Result<(), ApiError> {
    let right = "leave it out for no timeout, or give a duration such as 30m";
    match timeout_s {
        Some(0) => Err(invalid("a timeout of 0 would end the session at once").hint(right)),
        Some(given) if given > MAX_DURATION_S => Err(invalid(format!(
            "a timeout of {given} s is too long: at most {MAX_DURATION_S} s, a year"
        ))
        .hint(right)),
        _ => Ok(()),
    }
}

/// The time between TERM and KILL, as a request may give it.
pub(in crate::daemon) fn check_grace(grace_ms: Option<u64>) -> Result<(), ApiError> {
    let most = MAX_DURATION_S * 1000;
    match grace_ms.filter(|given| *given > most) {
        Some(given) => Err(invalid(format!(
            "a grace of {given} ms is too long: at most {most} ms, a year"
        ))
        .hint("leave it out for the profile's stop_grace, or give a duration such as 10s")),
        None => Ok(()),
    }
}

/// A command is recorded, and all processes of the worker see it.
fn check_no_secret(argv: &[String], secrets: &BTreeMap<String, Secret>) -> Result<(), ApiError> {
    let shown = secrets.iter().find(|(_, secret)| {
        let value = secret.value.reveal().trim_end();
        value.len() >= SHORTEST_REDACTED && argv.iter().any(|word| word.contains(value))
    });
    match shown {
        Some((name, _)) => Err(invalid(format!(
            "the command contains the value of the secret {name}"
        ))
        .hint(format!(
            "a command is recorded: let it read the file at ${name}_FILE"
        ))),
        None => Ok(()),
    }
}

/// Names of secrets are names of variables and of files; values fit into a page of memory or some.
fn check_secrets(secrets: &BTreeMap<String, Secret>) -> Result<(), ApiError> {
    if secrets.len() > MOST_SECRETS {
        return Err(invalid(format!("more than {MOST_SECRETS} secrets")));
    }
    for (name, secret) in secrets {
        if !is_variable_name(name) {
            return Err(invalid(format!("{name:?} is no name for a secret")).hint(VARIABLE_RULE));
        }
        let value = secret.value.reveal();
        // Never the value itself: this is shown.
        let wrong = if value.is_empty() {
            "is empty".to_owned()
        } else if value.len() > MAX_SECRET {
            format!("has {} bytes, at most {MAX_SECRET} are taken", value.len())
        } else if value.contains('\0') {
            "contains a NUL byte".to_owned()
        } else {
            continue;
        };
        return Err(invalid(format!("the value of secret {name} {wrong}")));
    }
    Ok(())
}

fn place(
    project: Option<HostPath>,
    asked: Option<Isolation>,
    profile: &Profile,
) -> Result<(Option<HostPath>, Isolation), ApiError> {
    match (project, asked) {
        (None, None) | (_, Some(Isolation::None)) => Ok((None, Isolation::None)),
        (None, Some(mode)) => Err(
            invalid(format!("isolation {} needs a project", mode.as_str()))
                .hint("give the project's folder, or use --isolation none"),
        ),
        (Some(project), asked) => {
            if !project.as_path().is_absolute() {
                return Err(
                    invalid(format!("the project path {project} is not absolute"))
                        .hint("give the path as the engine's host sees it, from /"),
                );
            }
            if profile.isolation == Isolation::None && asked.is_none() {
                return Ok((None, Isolation::None));
            }
            Ok((Some(project), asked.unwrap_or(profile.isolation)))
        }
    }
}

/// Why the project has to be mounted by the engine at the creation of a worker of its own.
fn fallback(
    project: Option<&HostPath>,
    isolation: Isolation,
    hot: &HotMounts,
) -> Result<Option<String>, ApiError> {
    let Some(project) = project else {
        return Ok(None);
    };
    if hot.available {
        return Ok(None);
    }
    let reason = hot
        .reason
        .clone()
        .unwrap_or_else(|| "the mounter is not ready".to_owned());
    if isolation.is_reviewed() {
        return Err(ApiError::new(
            ErrorKind::Refused,
            format!(
                "isolation {} is unavailable here: {reason}",
                isolation.as_str()
            ),
        )
        .hint("use --isolation bind, or see `podbay doctor`"));
    }
    if project.as_path().to_str().is_none() {
        return Err(ApiError::new(
            ErrorKind::Refused,
            format!("{project} is not UTF-8: only the mounter can take it, and {reason}"),
        )
        .hint("rename the folder, or see `podbay doctor`"));
    }
    Ok(Some(format!("no hot mounts: {reason}")))
}

fn limits(request: &LimitsRequest, base: Limits) -> Result<Limits, ApiError> {
    let some = request.memory.is_some() || request.cpus.is_some() || request.pids.is_some();
    if request.none {
        return if some {
            Err(invalid("--no-limits goes with no other limit"))
        } else {
            Ok(Limits::NONE)
        };
    }
    let bad = |e: crate::model::LimitError| invalid(e.to_string());
    Ok(Limits {
        memory_bytes: match &request.memory {
            Some(text) => Some(parse_bytes(text).map_err(bad)?),
            None => base.memory_bytes,
        },
        nano_cpus: match &request.cpus {
            Some(text) => Some(parse_cpus(text).map_err(bad)?),
            None => base.nano_cpus,
        },
        pids: match &request.pids {
            Some(text) => Some(parse_pids(text).map_err(bad)?),
            None => base.pids,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_cannot_execute_is_refused_with_its_size() {
        let word = |len: usize| vec!["echo".to_owned(), "x".repeat(len)];
        check_argv(&word(MAX_STRING)).unwrap();
        let said = check_argv(&word(MAX_STRING + 1)).unwrap_err();
        assert!(said.message.contains("argument 1") && said.message.contains("131072"));
        let env = |len: usize| BTreeMap::from([("BIG".to_owned(), "x".repeat(len))]);
        check_env(&env(MAX_STRING - 4)).unwrap();
        let said = check_env(&env(MAX_STRING - 3)).unwrap_err();
        assert!(said.message.contains("BIG has 131072 bytes"), "{said}");
    }

    #[test]
    fn a_callers_terminal_is_heard_where_neither_profile_nor_request_says_something() {
        let text = "[profiles.default]\nenv = { TZ = \"UTC\" }\n";
        let config = crate::config::parse("x".as_ref(), text).unwrap();
        let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
            pairs.iter().map(owned).collect()
        };
        let mut request = SpawnRequest {
            env: of(&[("COLORTERM", "24bit")]),
            caller_env: of(&[
                ("COLORTERM", "truecolor"),
                ("NO_COLOR", "1"),
                ("TZ", "Asia/Tokyo"),
            ]),
            ..SpawnRequest::default()
        };
        let resolved = resolve(&config, &HotMounts::default(), request.clone()).unwrap();
        assert_eq!(resolved.caller_env, of(&[("NO_COLOR", "1")]));
        request.caller_env = of(&[("PATH", "/x")]);
        let refused = resolve(&config, &HotMounts::default(), request).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid);
    }

    #[test]
    fn durations_of_more_than_a_year_are_refused() {
        check_timeout(None).unwrap();
        check_timeout(Some(MAX_DURATION_S)).unwrap();
        check_grace(Some(MAX_DURATION_S * 1000)).unwrap();
        for refused in [
            check_timeout(Some(0)),
            check_timeout(Some(MAX_DURATION_S + 1)),
            check_timeout(Some(u64::MAX)),
            check_grace(Some(u64::MAX)),
        ] {
            assert_eq!(refused.unwrap_err().kind, ErrorKind::Invalid);
        }
    }
}
