//! `podbay`: the coordinator, its command line and its dashboard in one binary.

use coordinator::{
    api,
    cli::{self, ConfigHandlers, DashboardArgs, Handlers, MounterArgs, ServeArgs},
    client::{
        Client, Discover,
        engine_address::{self, Endpoint, SystemEnv},
    },
    config::{self, Config, Sources},
    daemon,
    dashboard::{self, DashboardOptions},
    store, workspace,
};
use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    store::become_current();
    let handlers = Handlers {
        serve,
        mounter,
        install: |args| report("install", daemon::install(&args.state)),
        dashboard: open_dashboard,
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

fn mounter(_args: MounterArgs) -> ExitCode {
    let state = std::env::var_os("PODBAY_STATE").unwrap_or_else(|| "/var/lib/podbay".into());
    let state = PathBuf::from(state);
    let socket = state.join("run/mounter.sock");
    report(
        "mounter",
        workspace::serve(&state, &socket).map_err(Into::into),
    )
}

fn open_dashboard(discover: Discover, args: DashboardArgs) -> ExitCode {
    let options = DashboardOptions {
        worker: args.worker,
        ..DashboardOptions::default()
    };
    let opened = Client::discover(&discover)
        .map_err(Into::into)
        .and_then(|client| dashboard::open(client, options));
    report("dashboard", opened)
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
