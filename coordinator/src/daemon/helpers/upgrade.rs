//! Another version of the coordinator under the same parent: sessions and network go on.
//!
//! A container of the new image puts its own binaries into the state volume and checks the
//! configuration with them; then the supervisor starts the coordinator anew, which becomes the new
//! binary. Clients attach again by themselves, as after any coordinator's death.

use crate::daemon::{Daemon, blocking};
use crate::{
    config::{self, Sources},
    runtime::Helper,
    store::{StateDir, Upgrade, base},
    wire::{ApiError, ErrorKind, UpgradeView},
};
use nix::sys::signal::{Signal, kill};
use std::{path::Path, sync::Arc, time::Duration};

/// Copying two binaries and reading a configuration.
const INSTALL_DEADLINE: Duration = Duration::from_secs(60);
/// The answer is on its way before the coordinator is told to end.
const ANSWER_FIRST: Duration = Duration::from_millis(100);
/// Where an installing container leaves what it did, under `bin/`.
const NEXT: &str = "bin/next.json";

fn failed(kind: ErrorKind, message: impl Into<String>) -> ApiError {
    ApiError::new(kind, message)
}

impl Daemon {
    /// Makes the binaries of `image` the ones in force and has the coordinator started anew.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for no such image, [`ErrorKind::Refused`] for one that is no parent's
    /// or refuses the configuration, [`ErrorKind::Conflict`] without the supervisor.
    pub async fn upgrade(self: &Arc<Self>, image: &str) -> Result<UpgradeView, ApiError> {
        let deployment = self.deployment()?.clone();
        let supervisor = nix::unistd::getppid();
        if supervisor.as_raw() != 1 {
            return Err(failed(
                ErrorKind::Conflict,
                "this coordinator was not started by a parent's supervisor",
            ));
        }
        let next = self.state_dir.join(NEXT);
        blocking(move || match std::fs::remove_file(next) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
        .map_err(|e| failed(ErrorKind::Internal, format!("the state volume: {e}")))?;
        self.install_from(image).await?;
        let (store, image) = (self.state_dir.clone(), image.to_owned());
        let running = deployment.podbay.clone();
        let upgrade = blocking(move || store.take_next(&image, &running)).await;
        let upgrade = upgrade.map_err(|e| {
            let message = format!("{NEXT} is not there or not readable: {e}");
            failed(ErrorKind::Refused, message).hint("the image is not a parent's of this kind")
        })?;
        let changed = upgrade.podbay != deployment.podbay;
        if changed {
            tracing::info!(binary = upgrade.podbay, image = upgrade.image, "upgrading");
            tokio::spawn(async move {
                tokio::time::sleep(ANSWER_FIRST).await;
                if let Err(error) = kill(supervisor, Signal::SIGUSR2) {
                    tracing::error!(%error, "the supervisor cannot be told");
                }
            });
        }
        Ok(UpgradeView {
            binary: upgrade.podbay,
            changed,
        })
    }

    async fn install_from(&self, image: &str) -> Result<(), ApiError> {
        let mut spec = self.helper_spec(Helper::Installer)?;
        image.clone_into(&mut spec.image);
        let run = self.outside.engine.run_installer(&spec);
        let (code, said) = tokio::time::timeout(INSTALL_DEADLINE, run)
            .await
            .map_err(|_| {
                failed(
                    ErrorKind::Timeout,
                    "the new image does not finish installing",
                )
            })?
            .map_err(|e| failed(ErrorKind::Refused, e.to_string()))?;
        if code == 0 {
            return Ok(());
        }
        let message = format!("{image} does not install itself (exit code {code}): {said}");
        Err(failed(ErrorKind::Refused, message).hint("nothing was changed"))
    }

    /// The coordinator came up: an upgrade that led here stays in force.
    pub(in crate::daemon) async fn confirm_upgrade(&self) {
        let Some(mut upgrade) = self.state_dir.upgrade().filter(|u| !u.confirmed) else {
            return;
        };
        let ours = self
            .deployment
            .get()
            .is_some_and(|s| s.podbay == upgrade.podbay);
        if !ours {
            return;
        }
        upgrade.confirmed = true;
        let store = self.state_dir.clone();
        let written = blocking(move || {
            store.write_upgrade(&upgrade)?;
            store.remove_other_binaries(&upgrade.podbay)
        });
        match written.await {
            Ok(()) => tracing::info!("the upgrade is in force"),
            Err(error) => tracing::error!(%error, "the upgrade is not confirmed on disk"),
        }
    }
}

/// `podbay install`: puts this binary and the agent beside it into the state volume.
///
/// # Errors
/// This version refuses the configuration; the state volume cannot be written.
pub fn install(state: &Path) -> anyhow::Result<()> {
    let sources = Sources::of_state(state, None);
    config::load(&sources).map_err(|errors| {
        anyhow::anyhow!("this version refuses the configuration that is there\n{errors}")
    })?;
    let store = StateDir::open(state)?;
    let own = std::env::current_exe()?;
    let upgrade = Upgrade {
        podbay: store.install_binary("podbay", &own)?,
        agent: store.install_agent(&own.with_file_name("worker-agent"))?,
        image: String::new(),
        base: String::new(),
        confirmed: false,
        tries: 0,
    };
    std::fs::write(store.join(NEXT), serde_json::to_vec(&upgrade)?)?;
    Ok(())
}

impl StateDir {
    /// Removes coordinators of former versions; agents stay, since workers run them.
    fn remove_other_binaries(&self, keep: &str) -> std::io::Result<()> {
        for entry in std::fs::read_dir(self.join("bin"))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("podbay-") && name != keep {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// What was installed; in force from the next start on, unless it is what runs.
    fn take_next(&self, image: &str, running: &str) -> std::io::Result<Upgrade> {
        let path = self.join(NEXT);
        let mut upgrade: Upgrade = serde_json::from_slice(&std::fs::read(&path)?)?;
        image.clone_into(&mut upgrade.image);
        upgrade.base = base();
        if upgrade.podbay != running {
            self.write_upgrade(&upgrade)?;
        }
        std::fs::remove_file(path)?;
        Ok(upgrade)
    }
}
