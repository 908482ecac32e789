//! Short ways to a [`MounterError`].

use super::{MounterError, MounterErrorKind};
use std::fmt::Display;

fn error(kind: MounterErrorKind, message: String) -> MounterError {
    MounterError { kind, message }
}

/// The kernel or filesystem cannot do it.
pub(crate) fn unsupported(message: String) -> MounterError {
    error(MounterErrorKind::Unsupported, message)
}

/// Not a worker of ours, or gone.
pub(crate) fn bad_target(message: String) -> MounterError {
    error(MounterErrorKind::BadTarget, message)
}

/// No such folder.
pub(crate) fn not_a_folder(message: String) -> MounterError {
    error(MounterErrorKind::NotAFolder, message)
}

/// A named path without a change.
pub(crate) fn no_change(message: String) -> MounterError {
    error(MounterErrorKind::NoChange, message)
}

/// Refused by the policy, or because the project is no longer what it was.
pub(crate) fn refused(message: String) -> MounterError {
    error(MounterErrorKind::Refused, message)
}

/// Too much is waiting or running already.
pub(crate) fn busy(message: String) -> MounterError {
    error(MounterErrorKind::Busy, message)
}

/// More than fits into one request.
pub(crate) fn too_many(message: String) -> MounterError {
    error(MounterErrorKind::TooMany, message)
}

/// The mounter cannot be reached.
pub(crate) fn unreachable(message: String) -> MounterError {
    error(MounterErrorKind::Unreachable, message)
}

/// Anything else, by what was being done.
pub(crate) fn system(doing: &str, e: impl Display) -> MounterError {
    error(MounterErrorKind::System, format!("{doing}: {e}"))
}
