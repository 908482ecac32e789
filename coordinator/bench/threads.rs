//! Work that blocks.

use coordinator::cli::Failure;

/// Runs what blocks alongside the bench's own thread.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(1, error.to_string()))?
}
