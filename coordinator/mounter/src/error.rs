//! Short ways to a [`MounterError`], one for each kind, for the mounter and its client; and what a client of
//! the API is told of each. Owns nothing. Never words what was wrong: who calls does.

use crate::wire::{MounterError, MounterErrorKind};
use podbay_model::wire::{ApiError, ErrorKind};
use std::fmt::Display;

fn error(kind: MounterErrorKind, message: String) -> MounterError {
    MounterError { kind, message }
}

/// The kernel or filesystem cannot do it.
#[must_use]
pub fn unsupported(message: String) -> MounterError {
    error(MounterErrorKind::Unsupported, message)
}

/// Not a worker of ours, or gone.
#[must_use]
pub fn bad_target(message: String) -> MounterError {
    error(MounterErrorKind::BadTarget, message)
}

/// No such folder.
#[must_use]
pub fn not_a_folder(message: String) -> MounterError {
    error(MounterErrorKind::NotAFolder, message)
}

/// A named path without a change.
#[must_use]
pub fn no_change(message: String) -> MounterError {
    error(MounterErrorKind::NoChange, message)
}

/// Refused by the policy, or because the project is no longer what it was.
#[must_use]
pub fn refused(message: String) -> MounterError {
    error(MounterErrorKind::Refused, message)
}

/// Too much is waiting or running already.
#[must_use]
pub fn busy(message: String) -> MounterError {
    error(MounterErrorKind::Busy, message)
}

/// More than fits into one request.
#[must_use]
pub fn too_many(message: String) -> MounterError {
    error(MounterErrorKind::TooMany, message)
}

/// The mounter cannot be reached.
#[must_use]
pub fn unreachable(message: String) -> MounterError {
    error(MounterErrorKind::Unreachable, message)
}

/// Anything else, by what was being done.
#[must_use]
pub fn system(doing: &str, e: impl Display) -> MounterError {
    error(MounterErrorKind::System, format!("{doing}: {e}"))
}

/// What a client of the API is told.
impl From<MounterError> for ApiError {
    fn from(error: MounterError) -> Self {
        let kind = match error.kind {
            MounterErrorKind::NotAFolder => ErrorKind::Invalid,
            MounterErrorKind::NoChange => ErrorKind::NotFound,
            MounterErrorKind::Refused | MounterErrorKind::Unsupported => ErrorKind::Refused,
            MounterErrorKind::BadTarget | MounterErrorKind::TooMany => ErrorKind::Conflict,
            MounterErrorKind::Busy => ErrorKind::Exhausted,
            MounterErrorKind::Unreachable | MounterErrorKind::System => ErrorKind::Internal,
        };
        Self::new(kind, error.message)
    }
}
