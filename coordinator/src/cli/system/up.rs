//! `podbay up`: the parent container.

use crate::{
    cli::{
        ConfigHandlers, Failure, Globals,
        output::{
            term::{self, Progress},
            text,
        },
    },
    client::{
        Client, Endpoint, EngineAddress, Target,
        engine::{Engine, LABEL_INSTANCE, LABEL_ROLE, OLDEST_API},
        engine_address::{self, SystemEnv},
    },
    model::STATE_DIR,
};
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, HostConfigLogConfig, Mount,
    MountType, RestartPolicy, RestartPolicyNameEnum,
};
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use std::{collections::HashMap, path::PathBuf, process::ExitCode, time::Duration};
use tokio::time::Instant;

/// Where a configuration file from the host is in the parent.
const CONFIG: &str = "/etc/podbay/podbay.toml";
/// How long the API may take to answer.
const API_PATIENCE: Duration = Duration::from_secs(60);
/// A coordinator that ended so often right after its start will not come up.
const HOPELESS: usize = 3;
/// How long the pools are waited for.
const ENGINE_PATIENCE: Duration = Duration::from_secs(8);
/// How long the pools may take to fill; the parent is up all the same after it.
const POOL_PATIENCE: Duration = Duration::from_secs(120);

/// `podbay up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// The parent's image.
    #[arg(long, env = "PODBAY_IMAGE", default_value = "podbay/parent:latest")]
    image: String,
    /// The state volume: a name, or an absolute path on the host.
    #[arg(
        long,
        env = "PODBAY_VOLUME",
        default_value = "podbay-state",
        value_name = "NAME"
    )]
    volume: String,
    /// A configuration file on the host to use instead of the one in the state volume.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The network that the parent and all workers share.
    #[arg(long, value_enum, default_value = "bridge")]
    network: Network,
    /// The engine's socket on its host, when it differs from the one used here.
    #[arg(long, value_name = "PATH")]
    engine_socket: Option<String>,
    /// When to pull the parent's image.
    #[arg(long, value_enum, default_value = "missing")]
    pull: Pull,
    /// Replace a parent that exists, as after an upgrade of its image. Ends its workers.
    #[arg(long)]
    recreate: bool,
    /// Return when the API answers, without waiting for warm workers.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Network {
    Bridge,
    Host,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pull {
    Missing,
    Always,
    Never,
}

pub(in crate::cli) async fn run(
    globals: &Globals,
    args: UpArgs,
    config: &ConfigHandlers,
) -> Result<ExitCode, Failure> {
    if let Some(file) = &args.config {
        (config.check)(file).map_err(Failure::usage)?;
    }
    let name = globals.discover().parent();
    let engine = engine().await?;
    let mut progress = Progress::default();
    let existing = engine.container(&name).await?;
    if let Some(found) = &existing
        && label(found, LABEL_ROLE).as_deref() != Some("parent")
    {
        return Err(Failure::new(
            1,
            format!("a container {name} exists and is not a parent of Podbay's"),
        )
        .hint("remove it, or give another name with --parent"));
    }
    let running = existing.as_ref().is_some_and(is_running);
    match existing {
        Some(_) if !args.recreate => {
            if !running {
                progress.say(&format!("starting {name}"));
                engine.start(&name).await?;
            }
        }
        existing => {
            image(&engine, &args, &mut progress).await?;
            if existing.is_some() {
                progress.say(&format!("removing the old {name}"));
                engine.remove(&name, 20).await?;
            }
            progress.say(&format!("creating {name}"));
            if !args.volume.starts_with('/') {
                engine.create_volume(&args.volume, &name).await?;
            }
            let body = body(&args, &name, engine.address(), std::env::vars())?;
            engine.create(&name, body).await?;
            engine.start(&name).await?;
        }
    }
    let target = Target::Exec {
        engine: engine.address().clone(),
        container: name.clone(),
    };
    let client = Client::new(target);
    wait_for_api(&client, &engine, &name, &mut progress).await?;
    let pools = if args.no_wait {
        String::new()
    } else {
        wait_for_pools(&client, &mut progress).await?
    };
    progress.clear();
    let state = if running && !args.recreate {
        "is already up"
    } else {
        "is up"
    };
    term::note(&format!("{name} {state}{pools}"));
    Ok(ExitCode::SUCCESS)
}

/// The engine, checked for its version.
pub(super) async fn engine() -> Result<Engine, Failure> {
    let address = engine_address::find(&SystemEnv).map_err(|error| {
        Failure::new(3, error.to_string())
            .hint("start the engine, or set DOCKER_HOST to its unix socket")
    })?;
    let engine = Engine::connect(address).await?;
    if engine.api < OLDEST_API {
        return Err(
            Failure::new(3, format!("the engine is too old: {}", engine.description))
                .hint("Docker 20.10 (API 1.41) or newer is needed"),
        );
    }
    Ok(engine)
}

pub(super) fn label(container: &ContainerInspectResponse, name: &str) -> Option<String> {
    container
        .config
        .as_ref()?
        .labels
        .as_ref()?
        .get(name)
        .cloned()
}

pub(super) fn is_running(container: &ContainerInspectResponse) -> bool {
    container.state.as_ref().and_then(|state| state.running) == Some(true)
}

/// Makes sure that the image is there.
async fn image(engine: &Engine, args: &UpArgs, progress: &mut Progress) -> Result<(), Failure> {
    let set = |name: &str| {
        std::env::var(name).is_ok_and(|value| matches!(value.as_str(), "1" | "true" | "yes"))
    };
    let there = engine.image(&args.image).await?.is_some();
    let pull = match args.pull {
        Pull::Always => !(set("SKIP_IMAGE_PULL") || (there && set("LAZY_IMAGE_PULL"))),
        Pull::Missing => !there && !set("SKIP_IMAGE_PULL") && has_registry(&args.image),
        Pull::Never => false,
    };
    if !pull {
        if there {
            return Ok(());
        }
        return Err(Failure::new(1, format!("image {} is not here", args.image))
            .hint("build it with `scripts/build-images.sh`, or name another with --image"));
    }
    let mut lines = std::pin::pin!(engine.pull(&args.image));
    while let Some(line) = lines.next().await {
        progress.say(&format!("pulling {}: {}", args.image, text::escape(&line?)));
    }
    Ok(())
}

/// Whether an image's name says which registry it is from. One that does not would come from a
/// public registry, where anyone may own the name, and it is given the engine's socket.
fn has_registry(image: &str) -> bool {
    let Some((first, _)) = image.split_once('/') else {
        return false;
    };
    first.contains(['.', ':']) || first == "localhost"
}

/// The engine's socket as its own host names it.
fn socket_on_host(args: &UpArgs, address: &EngineAddress) -> String {
    if let Some(given) = &args.engine_socket {
        return given.clone();
    }
    match &address.endpoint {
        Endpoint::Unix(path) => {
            let path = path.to_string_lossy();
            // Engines in a virtual machine show their socket at another path than they have inside.
            let forwarded = [
                "/.docker/desktop/",
                "/.docker/run/",
                "/.colima/",
                "/.orbstack/",
                "/.rd/",
                "/.lima/",
            ];
            if forwarded.iter().any(|part| path.contains(part)) {
                engine_address::DEFAULT.to_owned()
            } else {
                path.into_owned()
            }
        }
        Endpoint::Tcp(_) => engine_address::DEFAULT.to_owned(),
    }
}

/// Variables of the caller that the coordinator is to know.
fn passed_on(name: &str) -> bool {
    const DROP_IN: [&str; 8] = [
        "WORKER_MEMORY",
        "WORKER_CPUS",
        "WORKER_IMAGE",
        "ENABLE_POOL_MANAGER",
        "MIN_WARM_WORKERS",
        "MAX_WARM_WORKERS",
        "SKIP_IMAGE_PULL",
        "LAZY_IMAGE_PULL",
    ];
    /// About where the coordinator is, not about what it does.
    const OURS: [&str; 7] = [
        "PODBAY_PARENT",
        "PODBAY_SOCKET",
        "PODBAY_IMAGE",
        "PODBAY_VOLUME",
        "PODBAY_CONFIG",
        "PODBAY_STATE",
        "PODBAY_DETACH_KEYS",
    ];
    DROP_IN.contains(&name) || (name.starts_with("PODBAY_") && !OURS.contains(&name))
}

/// The parent as the engine is asked for it.
fn body(
    args: &UpArgs,
    name: &str,
    address: &EngineAddress,
    vars: impl Iterator<Item = (String, String)>,
) -> Result<ContainerCreateBody, Failure> {
    let mut env: Vec<String> = vars
        .filter(|(name, _)| passed_on(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    env.sort();
    let mount = |kind, source: String, target: &str, read_only| Mount {
        typ: Some(kind),
        source: Some(source),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        ..Default::default()
    };
    let kind = if args.volume.starts_with('/') {
        MountType::BIND
    } else {
        MountType::VOLUME
    };
    let mut mounts = vec![
        mount(kind, args.volume.clone(), STATE_DIR, false),
        mount(
            MountType::BIND,
            socket_on_host(args, address),
            engine_address::DEFAULT,
            false,
        ),
    ];
    if let Some(file) = &args.config {
        let file = std::fs::canonicalize(file)
            .map_err(|error| Failure::usage(format!("--config {}: {error}", file.display())))?;
        let file = file
            .to_str()
            .ok_or_else(|| Failure::usage("--config: the path is not UTF-8"))?;
        mounts.push(mount(MountType::BIND, file.to_owned(), CONFIG, true));
        env.push(format!("PODBAY_CONFIG={CONFIG}"));
    }
    let host = HostConfig {
        mounts: Some(mounts),
        network_mode: Some(
            match args.network {
                Network::Bridge => "bridge",
                Network::Host => "host",
                Network::None => "none",
            }
            .to_owned(),
        ),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            maximum_retry_count: None,
        }),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        tmpfs: Some(HashMap::from([(
            "/tmp".to_owned(),
            "rw,nosuid,nodev,noexec,size=16m".to_owned(),
        )])),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "10m".to_owned()),
                ("max-file".to_owned(), "3".to_owned()),
            ])),
        }),
        ..Default::default()
    };
    Ok(ContainerCreateBody {
        image: Some(args.image.clone()),
        env: Some(env),
        labels: Some(HashMap::from([
            (LABEL_INSTANCE.to_owned(), name.to_owned()),
            (LABEL_ROLE.to_owned(), "parent".to_owned()),
        ])),
        host_config: Some(host),
        ..Default::default()
    })
}

async fn wait_for_api(
    client: &Client,
    engine: &Engine,
    name: &str,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let give_up = Instant::now() + API_PATIENCE;
    loop {
        progress.say("waiting for the coordinator");
        let error = match client.version().await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let dead = match engine.container(name).await? {
            Some(container) => {
                let restarts = container.restart_count.unwrap_or(0);
                !is_running(&container) || restarts > 0
            }
            None => true,
        };
        let lines = engine.last_lines(name).await;
        // The supervisor's word on a coordinator that ends again and again.
        let ended = lines.matches("; starting it again").count();
        if dead || ended >= HOPELESS || Instant::now() >= give_up {
            let last = lines
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty() && !line.starts_with("worker-agent: "))
                .unwrap_or_default();
            let why = if last.is_empty() {
                error.to_string()
            } else {
                text::escape(last)
            };
            return Err(
                Failure::new(1, format!("{name} does not come up: {why}")).hint(format!(
                    "`docker logs {name}` tells more; `podbay doctor` checks the rest"
                )),
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until every pool has its fewest warm workers; what to add to the last line.
async fn wait_for_pools(client: &Client, progress: &mut Progress) -> Result<String, Failure> {
    let give_up = Instant::now() + POOL_PATIENCE;
    let engine_patience = Instant::now() + ENGINE_PATIENCE;
    loop {
        let pools = client.pools().await?;
        if pools.is_empty() && Instant::now() < give_up {
            // The coordinator has not reached the engine yet.
            let engine = client.status().await?.engine;
            if let (Some(error), true) = (engine.error, Instant::now() > engine_patience) {
                return Err(Failure::new(
                    3,
                    format!("the coordinator does not reach the engine: {error}"),
                )
                .hint("`podbay doctor` checks the engine and its socket"));
            }
            progress.say("waiting for the engine");
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let wanted: u32 = pools.iter().map(|pool| pool.min_warm).sum();
        let warm: u32 = pools.iter().map(|pool| pool.warm.min(pool.min_warm)).sum();
        let summary = format!("pool {warm}/{wanted} warm");
        progress.say(&summary);
        if warm >= wanted {
            return Ok(format!(", {summary}"));
        }
        let failing = pools.iter().find_map(|pool| {
            let failure = pool.last_failure.as_ref()?;
            (failure.in_a_row >= 3 && failure.retry_in_ms.is_some()).then_some((pool, failure))
        });
        if let Some((pool, failure)) = failing {
            progress.clear();
            let (profile, reason) = (text::escape(&pool.profile), text::escape(&failure.reason));
            term::note(&format!(
                "podbay: warm workers of {profile} cannot be made: {reason}"
            ));
            return Ok(format!(", {summary}"));
        }
        if Instant::now() >= give_up || pools.iter().all(|pool| pool.paused || pool.draining) {
            return Ok(format!(", {summary}"));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: UpArgs,
    }

    fn body_of(flags: &[&str], vars: &[(&str, &str)]) -> ContainerCreateBody {
        let args = Only::parse_from(std::iter::once(&"up").chain(flags)).args;
        let address =
            engine_address::parse("unix:///run/user/7/docker.sock", "test", false).unwrap();
        let vars = vars.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        body(&args, "bay", &address, vars).unwrap()
    }

    #[test]
    fn the_parent_has_no_capability_a_read_only_root_and_bounded_logs() {
        let host = body_of(&[], &[]).host_config.unwrap();
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.readonly_rootfs, Some(true));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!(host.log_config.unwrap().config.unwrap()["max-size"], "10m");
        assert!(host.binds.is_none() && host.auto_remove.is_none() && host.privileged.is_none());
        let mounts = host.mounts.unwrap();
        assert_eq!(mounts[0].typ, Some(MountType::VOLUME));
        assert_eq!(mounts[1].source.as_deref(), Some("/run/user/7/docker.sock"));
    }

    #[test]
    fn only_what_is_meant_for_the_coordinator_is_passed_on() {
        let vars = [
            ("PODBAY_LOG", "debug"),
            ("PODBAY_PARENT", "x"),
            ("WORKER_CPUS", "3"),
            ("SECRET", "s"),
        ];
        assert_eq!(
            body_of(&[], &vars).env.unwrap(),
            ["PODBAY_LOG=debug", "WORKER_CPUS=3"]
        );
    }

    #[test]
    fn a_name_that_anyone_could_own_is_not_pulled() {
        assert!(!has_registry("podbay/parent:latest") && !has_registry("parent"));
        assert!(has_registry("ghcr.io/x/parent") && has_registry("localhost:5000/parent"));
    }

    #[test]
    fn a_path_as_volume_is_bound() {
        let host = body_of(&["--volume", "/srv/bay"], &[]).host_config.unwrap();
        assert_eq!(host.mounts.unwrap()[0].typ, Some(MountType::BIND));
    }
}
