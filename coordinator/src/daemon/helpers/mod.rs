//! The containers of the mounter and the guard: started in place of one that does not answer, and
//! not any more once everything goes.

pub(in crate::daemon) mod mounter;
pub(in crate::daemon) mod netguard;
pub(in crate::daemon) mod upgrade;

use crate::daemon::Daemon;
use crate::{
    runtime::{Helper, HelperSpec},
    wire::{ApiError, ErrorKind},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A fresh helper has bound its socket by then.
pub(in crate::daemon) const START_DEADLINE: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
const FIRST_PROBE: Duration = Duration::from_millis(5);
const LONGEST_PROBE: Duration = Duration::from_millis(200);

/// Pauses between the tries to start a helper, longer and longer.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct Pause(Duration);

impl Pause {
    pub(in crate::daemon) const FIRST: Self = Self(FIRST_RETRY);

    pub(in crate::daemon) fn get(self) -> Duration {
        self.0
    }

    pub(in crate::daemon) fn grow(&mut self) {
        self.0 = (self.0 * 2).min(LONGEST_RETRY);
    }
}

impl Daemon {
    pub(in crate::daemon) fn helper_spec(&self, helper: Helper) -> Result<HelperSpec, ApiError> {
        let deployment = self.deployment()?;
        Ok(HelperSpec {
            helper,
            instance: deployment.own.name.clone(),
            image: deployment.own.image.clone(),
            parent: deployment.own.id.clone(),
            podbay: deployment.podbay.clone(),
            state_on_host: deployment.own.state_on_host.clone(),
            state_dir: self.state_dir.path().to_owned(),
        })
    }

    /// Starts a helper, and waits until `probe` says that it works.
    ///
    /// # Errors
    /// The engine's reason, the probe's last one, or that everything is being stopped.
    pub(in crate::daemon) async fn start_helper<F>(
        self: &Arc<Self>,
        helper: Helper,
        probe: impl Fn(Arc<Self>) -> F,
    ) -> Result<(), String>
    where
        F: Future<Output = Result<(), String>>,
    {
        let role = helper.role();
        let spec = self.helper_spec(helper).map_err(|e| e.message)?;
        {
            let _turn = self.helpers_lock.lock().await;
            if self.lock().fleet.stopping() {
                return Err("everything is being stopped".to_owned());
            }
            self.outside
                .engine
                .create_helper(&spec)
                .await
                .map_err(|e| {
                    self.engine_said(&e);
                    format!("the {role}'s container does not start: {e}")
                })?;
        }
        let deadline = Instant::now() + START_DEADLINE;
        let mut pause = FIRST_PROBE;
        loop {
            match probe(self.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(format!("the {role} does not answer: {error}"));
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PROBE);
        }
    }

    /// Removes a helper's container: a step of `down`.
    pub(in crate::daemon) async fn remove_helper(&self, helper: Helper) -> Result<(), ApiError> {
        let instance = &self.deployment()?.own.name;
        let _turn = self.helpers_lock.lock().await;
        let removed = self
            .outside
            .engine
            .remove_helpers(instance, helper, None)
            .await;
        removed
            .map(drop)
            .map_err(|e| ApiError::new(ErrorKind::Engine, e.to_string()))
    }
}
