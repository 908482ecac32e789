//! `podbay`: the coordinator, its command line and its dashboard in one binary.

use coordinator::{
    api,
    cli::{self, ConfigHandlers, Handlers, MounterArgs, ServeArgs},
    client::engine_address::{self, Endpoint, SystemEnv},
    config::{self, Config, Sources},
    daemon, dashboard, model, store,
};
use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    store::become_current();
    let handlers = Handlers {
        serve,
        mounter,
        netguard,
        install: |args| report("install", daemon::install(&args.state)),
        dashboard: |discover, args| report("dashboard", dashboard::start(&discover, args.worker)),
        config: ConfigHandlers {
            check: config::check_file,
            schema: config::schema,
        },
    };
    cli::run(std::env::args_os(), &handlers)
}

fn serve(args: ServeArgs) -> ExitCode {
    let sources = Sources::of_state(&args.state, args.config);
    match config::load(&sources) {
        Ok(config) => report("serve", start(args.state, config, sources)),
        Err(errors) => {
            eprintln!("podbay serve: the configuration is not usable\n{errors}");
            ExitCode::from(2)
        }
    }
}

fn start(state: PathBuf, config: Config, sources: Sources) -> anyhow::Result<()> {
    match engine_address::find(&SystemEnv)?.endpoint {
        Endpoint::Unix(socket) => daemon::start(state, socket, config, sources, api::listen),
        Endpoint::Tcp(host) => anyhow::bail!("the engine at {host}: give the coordinator a socket"),
    }
}

fn state() -> PathBuf {
    let state = std::env::var_os("PODBAY_STATE");
    state.map_or_else(|| model::STATE_DIR.into(), PathBuf::from)
}

fn netguard() -> ExitCode {
    let socket = state().join("run/netguard.sock");
    let served = podbay_netguard::serve(&socket);
    report("netguard", served.map_err(Into::into))
}

fn mounter(args: MounterArgs) -> ExitCode {
    if args.args.iter().any(|arg| arg == podbay_mounter::REVIEW) {
        let reviewed = podbay_mounter::review();
        return report("mounter review", reviewed.map_err(Into::into));
    }
    let state = state();
    let socket = state.join("run/mounter.sock");
    let served = podbay_mounter::serve(&state, &socket, podbay_mounter::ReviewProgram::default());
    report("mounter", served.map_err(Into::into))
}

fn report(what: &str, result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("podbay {what}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
