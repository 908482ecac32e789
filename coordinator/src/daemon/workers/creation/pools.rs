//! Steering pools by hand.

use crate::daemon::Daemon;
use crate::{
    fleet::Event,
    wire::{ApiError, ErrorKind, PoolView, ScaleRequest},
};
use std::sync::Arc;

/// More warm workers than this is a typing error.
const MOST_WARM: u32 = 64;

impl Daemon {
    /// New bounds for a pool, until the configuration is loaded again.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for bounds that make no sense, [`ErrorKind::NotFound`].
    pub fn scale(
        self: &Arc<Self>,
        profile: &str,
        request: ScaleRequest,
    ) -> Result<PoolView, ApiError> {
        let ScaleRequest { min_warm, max_warm } = request;
        self.pool(profile)?;
        if min_warm > max_warm || max_warm > MOST_WARM {
            return Err(ApiError::new(
                ErrorKind::Invalid,
                format!("a pool of {min_warm} to {max_warm} warm workers is not possible"),
            )
            .hint(format!(
                "give MIN and MAX with 0 <= MIN <= MAX <= {MOST_WARM}"
            )));
        }
        self.feed(Event::Scale {
            profile: profile.to_owned(),
            min_warm,
            max_warm,
        });
        self.pool(profile)
    }

    /// `drain`, `pause` or `resume`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for another word or no such pool.
    pub fn steer_pool(self: &Arc<Self>, profile: &str, action: &str) -> Result<PoolView, ApiError> {
        self.pool(profile)?;
        let name = profile.to_owned();
        let event = match action {
            "drain" => Event::Drain(name),
            "pause" => Event::Pause(name),
            "resume" => Event::Resume(name),
            other => {
                return Err(ApiError::new(
                    ErrorKind::NotFound,
                    format!("no such action {other:?}"),
                )
                .hint("the actions on a pool are scale, drain, pause and resume"));
            }
        };
        self.feed(event);
        self.pool(profile)
    }

    fn pool(&self, profile: &str) -> Result<PoolView, ApiError> {
        let state = self.lock();
        self.pool_view(&state, profile).ok_or_else(|| {
            let known: Vec<String> = state.fleet.pools().map(|p| p.profile).collect();
            ApiError::new(ErrorKind::NotFound, format!("no pool {profile:?}"))
                .hint(format!("the pools are: {}", known.join(", ")))
        })
    }
}
