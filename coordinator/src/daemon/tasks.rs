//! Work in a task or a thread of its own: what must be finished although nobody waits for it, and what
//! blocks.

use crate::wire::{ApiError, ErrorKind};

/// Work that must not be dropped half-way when a client goes away.
pub(super) async fn detached<T: Send + 'static>(
    task: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::spawn(task).await {
        Ok(result) => result,
        Err(error) => Err(ApiError::new(
            ErrorKind::Internal,
            format!("a task failed: {error}"),
        )),
    }
}

/// Blocking file work off the executor. A test that holds the clock has one thread alone.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    #[cfg(test)]
    if super::tests::wall_clock().is_some() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(std::io::Error::other(error)),
    }
}
