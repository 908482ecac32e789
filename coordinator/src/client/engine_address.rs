//! Where the container engine is, found as the Docker CLI finds it, then as Podman's.
//!
//! Pure over [`Env`]: environment variables and files are read through it and nowhere else.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Docker's default socket.
pub const DEFAULT: &str = "/var/run/docker.sock";

/// An engine's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineAddress {
    /// What to connect to.
    pub endpoint: Endpoint,
    /// Where the address comes from, for people: `DOCKER_HOST`, `context colima`, `default`.
    pub source: String,
}

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`, plain HTTP.
    Tcp(String),
}

impl std::fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.endpoint {
            Endpoint::Unix(path) => write!(f, "unix://{} ({})", path.display(), self.source),
            Endpoint::Tcp(host) => write!(f, "tcp://{host} ({})", self.source),
        }
    }
}

/// Why no address was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineAddressError {
    /// Nothing is configured and no known socket exists.
    #[error("no engine socket found; looked for {}", .tried.join(", "))]
    NotFound {
        /// The sockets looked for.
        tried: Vec<String>,
    },
    /// An address of a kind that is not supported.
    #[error("engine address {address:?} from {from} is not supported: {reason}")]
    Unsupported {
        /// The address.
        address: String,
        /// Where it comes from.
        from: String,
        /// Why not, and what would be right.
        reason: &'static str,
    },
    /// A context is named that does not exist or cannot be read.
    #[error("docker context {name:?} (from {from}): {reason}")]
    Context {
        /// The context.
        name: String,
        /// What named it.
        from: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What the search reads.
pub trait Env {
    /// An environment variable; `None` when unset or empty.
    fn var(&self, name: &str) -> Option<String>;
    /// A text file; `None` when it cannot be read.
    fn read(&self, path: &Path) -> Option<String>;
    /// The entries of a folder, in any order; empty when it cannot be read.
    fn list(&self, folder: &Path) -> Vec<PathBuf>;
    /// Whether something exists there.
    fn exists(&self, path: &Path) -> bool;
}

/// The process's own environment and file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnv;

impl Env for SystemEnv {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
    fn read(&self, path: &Path) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }
    fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).collect()
    }
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

const NO_TLS: &str = "TLS is not supported; use a unix socket, or forward one with \
                      `ssh -L /tmp/engine.sock:/var/run/docker.sock HOST` and set DOCKER_HOST=unix:///tmp/engine.sock";

/// Finds the engine: `DOCKER_HOST`, `DOCKER_CONTEXT`, `CONTAINER_HOST` (Podman), the current
/// context of `~/.docker/config.json`, then the first of the known sockets that exists.
///
/// # Errors
/// [`EngineAddressError`] says what was looked for, or why an address cannot be used.
pub fn find(env: &impl Env) -> Result<EngineAddress, EngineAddressError> {
    let tls = env.var("DOCKER_TLS_VERIFY").is_some() || env.var("DOCKER_TLS").is_some();
    if let Some(host) = env.var("DOCKER_HOST") {
        return parse(&host, "DOCKER_HOST", tls);
    }
    if let Some(name) = env.var("DOCKER_CONTEXT") {
        if let Some(found) = context(env, &name, "DOCKER_CONTEXT")? {
            return Ok(found);
        }
    } else if let Some(host) = env.var("CONTAINER_HOST") {
        return parse(&host, "CONTAINER_HOST", false);
    } else if let Some(name) = current_context(env)
        && let Some(found) = context(env, &name, "config.json")?
    {
        return Ok(found);
    }
    let mut candidates = vec![(PathBuf::from(DEFAULT), "default")];
    if let Some(runtime) = env.var("XDG_RUNTIME_DIR").map(PathBuf::from) {
        candidates.push((runtime.join("docker.sock"), "rootless Docker"));
        candidates.push((runtime.join("podman/podman.sock"), "rootless Podman"));
    }
    candidates.push((PathBuf::from("/run/podman/podman.sock"), "Podman"));
    match candidates.iter().find(|(path, _)| env.exists(path)) {
        Some((path, source)) => Ok(EngineAddress {
            endpoint: Endpoint::Unix(path.clone()),
            source: (*source).to_owned(),
        }),
        None => Err(EngineAddressError::NotFound {
            tried: candidates
                .iter()
                .map(|(path, _)| path.display().to_string())
                .collect(),
        }),
    }
}

/// An address as `DOCKER_HOST` has it: `unix:///path`, `tcp://host:port`. With `tls`, tcp is
/// refused.
///
/// # Errors
/// [`EngineAddressError::Unsupported`] says what would be right.
pub fn parse(address: &str, from: &str, tls: bool) -> Result<EngineAddress, EngineAddressError> {
    let unsupported = |reason| EngineAddressError::Unsupported {
        address: address.to_owned(),
        from: from.to_owned(),
        reason,
    };
    let endpoint = if let Some(path) = address.strip_prefix("unix://") {
        if !path.starts_with('/') {
            return Err(unsupported(
                "give an absolute path, such as unix:///var/run/docker.sock",
            ));
        }
        Endpoint::Unix(path.into())
    } else if let Some(host) = address
        .strip_prefix("tcp://")
        .or_else(|| address.strip_prefix("http://"))
    {
        if tls {
            return Err(unsupported(NO_TLS));
        }
        let host = host.trim_end_matches('/');
        if host.is_empty() || host.contains('/') {
            return Err(unsupported("give tcp://HOST:PORT"));
        }
        let bare = host.rsplit(']').next().unwrap_or(host);
        Endpoint::Tcp(if bare.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:2375")
        })
    } else if address.starts_with("https://") {
        return Err(unsupported(NO_TLS));
    } else if address.starts_with("ssh://") {
        return Err(unsupported(
            "ssh is not supported; forward the socket with `ssh -L /tmp/engine.sock:/var/run/docker.sock HOST`",
        ));
    } else {
        return Err(unsupported("give unix:///PATH or tcp://HOST:PORT"));
    };
    Ok(EngineAddress {
        endpoint,
        source: from.to_owned(),
    })
}

fn docker_folder(env: &impl Env) -> Option<PathBuf> {
    env.var("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env.var("HOME")?).join(".docker")))
}

fn current_context(env: &impl Env) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct File {
        current_context: Option<String>,
    }
    let text = env.read(&docker_folder(env)?.join("config.json"))?;
    // An unreadable file is the Docker CLI's to complain about; it warns and goes on.
    serde_json::from_str::<File>(&text)
        .ok()?
        .current_context
        .filter(|name| !name.is_empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: std::collections::BTreeMap<String, MetaEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetaEndpoint {
    host: Option<String>,
}

/// The address of a context; `None` for `default`, which is built in.
fn context(
    env: &impl Env,
    name: &str,
    from: &str,
) -> Result<Option<EngineAddress>, EngineAddressError> {
    if name == "default" {
        return Ok(None);
    }
    let problem = |reason: &str| EngineAddressError::Context {
        name: name.to_owned(),
        from: from.to_owned(),
        reason: reason.to_owned(),
    };
    let root = docker_folder(env)
        .ok_or_else(|| problem("HOME is not set"))?
        .join("contexts");
    // The folder's name is a hash of the context's name; reading each spares computing it.
    let folders = env.list(&root.join("meta"));
    let found = folders.iter().find_map(|folder| {
        let meta: Meta = serde_json::from_str(&env.read(&folder.join("meta.json"))?).ok()?;
        (meta.name == name).then_some((folder, meta))
    });
    let Some((folder, meta)) = found else {
        return Err(problem("no such context; see `docker context ls`"));
    };
    let host = meta
        .endpoints
        .get("docker")
        .and_then(|endpoint| endpoint.host.as_deref());
    let host = host.ok_or_else(|| problem("it has no docker endpoint"))?;
    let tls = folder
        .file_name()
        .is_some_and(|id| env.exists(&root.join("tls").join(id)));
    parse(host, &format!("context {name}"), tls).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Fake {
        vars: BTreeMap<&'static str, &'static str>,
        files: BTreeMap<PathBuf, &'static str>,
    }

    impl Fake {
        fn var(mut self, name: &'static str, value: &'static str) -> Self {
            self.vars.insert(name, value);
            self
        }
        fn file(mut self, path: &str, text: &'static str) -> Self {
            self.files.insert(path.into(), text);
            self
        }
    }

    impl Env for Fake {
        fn var(&self, name: &str) -> Option<String> {
            self.vars.get(name).map(ToString::to_string)
        }
        fn read(&self, path: &Path) -> Option<String> {
            self.files.get(path).map(ToString::to_string)
        }
        fn list(&self, folder: &Path) -> Vec<PathBuf> {
            let below = self
                .files
                .keys()
                .filter_map(|file| file.strip_prefix(folder).ok());
            below
                .filter_map(|rest| Some(folder.join(rest.iter().next()?)))
                .collect()
        }
        fn exists(&self, path: &Path) -> bool {
            self.files.keys().any(|file| file.starts_with(path))
        }
    }

    fn unix(found: Result<EngineAddress, EngineAddressError>) -> (String, String) {
        let found = found.unwrap();
        let Endpoint::Unix(path) = found.endpoint else {
            panic!("{found:?}")
        };
        (path.display().to_string(), found.source)
    }

    const META: &str = r#"{"Name":"colima","Metadata":{},"Endpoints":{"docker":{"Host":"unix:///c.sock","SkipTLSVerify":false}}}"#;

    #[test]
    fn docker_host_wins_over_everything() {
        let env = Fake::default()
            .var("DOCKER_HOST", "unix:///x.sock")
            .var("DOCKER_CONTEXT", "gone")
            .file(DEFAULT, "");
        assert_eq!(unix(find(&env)), ("/x.sock".into(), "DOCKER_HOST".into()));
    }

    #[test]
    fn the_context_is_found_by_name_whichever_way_it_is_named() {
        let env = |e: Fake| {
            e.var("HOME", "/h")
                .file("/h/.docker/contexts/meta/1f/meta.json", META)
                .file(DEFAULT, "")
        };
        let named = env(Fake::default().var("DOCKER_CONTEXT", "colima"));
        assert_eq!(unix(find(&named)).0, "/c.sock");
        let current =
            env(Fake::default().file("/h/.docker/config.json", r#"{"currentContext":"colima"}"#));
        assert_eq!(
            unix(find(&current)),
            ("/c.sock".into(), "context colima".into())
        );
        let default = env(Fake::default()
            .var("DOCKER_CONTEXT", "default")
            .file("/h/.docker/config.json", r#"{"currentContext":"colima"}"#));
        assert_eq!(unix(find(&default)).0, DEFAULT);
        let gone = env(Fake::default().var("DOCKER_CONTEXT", "other"));
        assert!(
            find(&gone)
                .unwrap_err()
                .to_string()
                .contains("docker context ls")
        );
        let tls = env(Fake::default().var("DOCKER_CONTEXT", "t"))
            .file(
                "/h/.docker/contexts/meta/2a/meta.json",
                r#"{"Name":"t","Endpoints":{"docker":{"Host":"tcp://h:2376"}}}"#,
            )
            .file("/h/.docker/contexts/tls/2a/docker/ca.pem", "");
        assert!(find(&tls).unwrap_err().to_string().contains("TLS"));
    }

    #[test]
    fn known_sockets_in_order_and_an_honest_list_when_none_exists() {
        let env = Fake::default()
            .var("XDG_RUNTIME_DIR", "/run/user/7")
            .file("/run/podman/podman.sock", "");
        assert_eq!(unix(find(&env)).1, "Podman");
        let env = env.file("/run/user/7/docker.sock", "");
        assert_eq!(unix(find(&env)).1, "rootless Docker");
        assert_eq!(unix(find(&env.file(DEFAULT, ""))).1, "default");
        let none = find(&Fake::default()).unwrap_err().to_string();
        assert!(none.contains(DEFAULT) && none.contains("podman"), "{none}");
        let podman = Fake::default().var("CONTAINER_HOST", "unix:///p.sock");
        assert_eq!(unix(find(&podman)).1, "CONTAINER_HOST");
    }

    #[test]
    fn addresses_that_cannot_be_used_say_why() {
        for (bad, why) in [
            ("ssh://me@h", "forward"),
            ("https://h", "TLS"),
            ("npipe:////./pipe", "unix:///PATH"),
            ("unix://rel", "absolute"),
            ("tcp://", "HOST:PORT"),
        ] {
            let error = parse(bad, "DOCKER_HOST", false).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(parse("tcp://h:2376", "x", true).is_err());
        assert_eq!(
            parse("tcp://h", "x", false).unwrap().endpoint,
            Endpoint::Tcp("h:2375".into())
        );
        assert_eq!(
            parse("tcp://[::1]:9/", "x", false).unwrap().endpoint,
            Endpoint::Tcp("[::1]:9".into())
        );
    }
}
