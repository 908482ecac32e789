//! Random ids from the system.

use crate::wire::{ApiError, ErrorKind};

/// 128 random bits as hexadecimal text: tokens and one-time ids.
pub(super) fn random_id() -> Result<String, ApiError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| {
        ApiError::new(
            ErrorKind::Internal,
            format!("the system gives no random numbers: {e}"),
        )
    })?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
