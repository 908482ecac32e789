//! From a start request to something that can be executed, and from a failure to words.
//!
//! Owns: the rules for PATH, the environment, and the kinds of refusal. It starts nothing.

use crate::{
    error::refuse,
    pty::{SpawnError, SpawnStep},
};
use nix::errno::Errno;
use podbay_protocol::{AgentError, ErrorCode, StartSession};
use std::{collections::BTreeMap, ffi::CString, path::Path};

/// PATH of a session that names none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A start request, checked and in the kernel's form.
#[derive(Debug)]
pub struct Prepared {
    /// Paths to try, in order.
    pub candidates: Vec<CString>,
    /// Arguments.
    pub argv: Vec<CString>,
    /// Environment.
    pub env: Vec<CString>,
    /// Working directory.
    pub cwd: CString,
    path: String,
}

fn c_string(what: &str, text: &str) -> Result<CString, AgentError> {
    CString::new(text).map_err(|_| {
        refuse(
            ErrorCode::Invalid,
            format!("{what} has a NUL byte: {text:?}"),
        )
    })
}

/// Checks a request. `extra` is what the agent itself sets, over the request's environment.
///
/// # Errors
/// [`ErrorCode::Invalid`] for an empty program name, a NUL byte or a bad variable name.
pub fn prepare(start: &StartSession, extra: &[(&str, String)]) -> Result<Prepared, AgentError> {
    let program = match start.argv.first() {
        Some(program) if !program.is_empty() => program,
        _ => return Err(refuse(ErrorCode::Invalid, "no program given")),
    };
    let mut env: BTreeMap<&str, &str> = BTreeMap::from([
        ("HOME", start.home.as_str()),
        ("LOGNAME", &start.user),
        ("PATH", DEFAULT_PATH),
        ("TERM", "xterm-256color"),
        ("USER", &start.user),
    ]);
    env.extend(
        start
            .env
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    );
    env.extend(extra.iter().map(|(key, value)| (*key, value.as_str())));
    let path = (*env.get("PATH").unwrap_or(&DEFAULT_PATH)).to_owned();
    let env = env
        .into_iter()
        .map(|(key, value)| {
            if key.is_empty() || key.contains('=') {
                let message = format!("environment: {key:?} is no variable name");
                return Err(refuse(ErrorCode::Invalid, message));
            }
            // Without the value: it may be a secret.
            CString::new(format!("{key}={value}")).map_err(|_| {
                let message = format!("environment: {key} has a NUL byte");
                refuse(ErrorCode::Invalid, message)
            })
        })
        .collect::<Result<_, _>>()?;
    let candidates = if program.contains('/') {
        vec![c_string("program", program)?]
    } else {
        path.split(':')
            .map(|folder| if folder.is_empty() { "." } else { folder })
            .map(|folder| c_string("program", &format!("{folder}/{program}")))
            .collect::<Result<_, _>>()?
    };
    let argv = start
        .argv
        .iter()
        .map(|arg| c_string("argument", arg))
        .collect::<Result<_, _>>()?;
    let cwd = c_string("working directory", &start.cwd)?;
    Ok(Prepared {
        candidates,
        argv,
        env,
        cwd,
        path,
    })
}

impl Prepared {
    /// Whether one of the candidates is there; what it is, exec tells.
    #[must_use]
    pub fn is_there(&self, start: &StartSession) -> bool {
        let there = |c: &CString| {
            let path = c.to_str().ok();
            path.is_some_and(|path| Path::new(&start.cwd).join(path).exists())
        };
        self.candidates.iter().any(there)
    }

    /// What to tell the coordinator about a failed start.
    #[must_use]
    pub fn explain(&self, start: &StartSession, error: SpawnError) -> AgentError {
        let why = error.errno.desc();
        match error.step {
            SpawnStep::Clone => refuse(ErrorCode::System, format!("clone: {why}")),
            SpawnStep::Terminal => {
                refuse(ErrorCode::System, format!("controlling terminal: {why}"))
            }
            SpawnStep::Identity => {
                let message = format!("becoming {}:{}: {why}", start.uid, start.gid);
                refuse(ErrorCode::System, message)
            }
            SpawnStep::Cwd => refuse(
                ErrorCode::Invalid,
                format!("working directory {}: {why}", start.cwd),
            ),
            SpawnStep::Exec => self.explain_exec(start, error.errno),
        }
    }

    fn explain_exec(&self, start: &StartSession, errno: Errno) -> AgentError {
        let name = start.argv.first().map_or("", String::as_str);
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => {
                let found = self.candidates.iter().find_map(|c| {
                    let path = Path::new(&start.cwd).join(c.to_str().ok()?);
                    path.exists().then_some(path)
                });
                if let Some(found) = found {
                    let message = format!(
                        "{}: its interpreter or loader is not in the worker",
                        found.display()
                    );
                    return refuse(ErrorCode::NotExecutable, message);
                }
                let message = if name.contains('/') {
                    format!("{name}: not found in the worker")
                } else {
                    format!("{name}: not found in the worker (PATH={})", self.path)
                };
                refuse(ErrorCode::CommandNotFound, message)
            }
            Errno::EACCES
            | Errno::EPERM
            | Errno::ENOEXEC
            | Errno::EISDIR
            | Errno::ETXTBSY
            | Errno::ELOOP
            | Errno::EINVAL
            | Errno::ELIBBAD => refuse(
                ErrorCode::NotExecutable,
                format!("{name}: {}", errno.desc()),
            ),
            _ => refuse(
                ErrorCode::System,
                format!("exec of {name}: {}", errno.desc()),
            ),
        }
    }
}
