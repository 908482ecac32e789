//! Removing containers: one counts as removed when it is gone, and not before.
//!
//! What a worker's uid stands for (rules, ports, folders) is given on after that, and a container
//! whose removal is under way may still have processes.

use super::{Docker, RuntimeError};
use bollard::query_parameters::{InspectContainerOptions, RemoveContainerOptionsBuilder};
use std::time::Duration;

/// Pauses between looks at a container that somebody else removes, longer and longer.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_millis(500);

impl Docker {
    /// Removes a container, running or not; one that is gone already is removed.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn remove(&self, container: &str) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let call = self.api.remove_container(container, Some(options));
        match self
            .call_within("removing a container", self.create_timeout, call)
            .await
        {
            // Another removal is under way: its processes may live until that is done.
            Err(RuntimeError::Refused {
                status: 409,
                message,
                ..
            }) if message.contains("already in progress") => self.wait_until_gone(container).await,
            Err(error) if error.is_gone() => Ok(()),
            result => result,
        }
    }

    /// Waits until a container that somebody removes is gone.
    async fn wait_until_gone(&self, container: &str) -> Result<(), RuntimeError> {
        let limit = self.create_timeout;
        let looking = async {
            let mut pause = FIRST_LOOK;
            loop {
                let look = self
                    .api
                    .inspect_container(container, None::<InspectContainerOptions>);
                match self.call("looking at a container", look).await {
                    Ok(_) => tokio::time::sleep(pause).await,
                    Err(error) if error.is_gone() => return Ok(()),
                    Err(error) => return Err(error),
                }
                pause = (pause * 2).min(LAST_LOOK);
            }
        };
        tokio::time::timeout(limit, looking)
            .await
            .unwrap_or_else(|_| {
                let seconds = limit.as_secs();
                Err(RuntimeError::Refused {
                    doing: "removing a container",
                    status: 409,
                    message: format!("its removal was under way and did not end in {seconds} s"),
                })
            })
    }

    pub(super) async fn remove_best_effort(&self, container: &str) {
        if let Err(error) = self.remove(container).await {
            tracing::warn!(container, %error, "left over; the next relist tries again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::Path, sync::Arc, sync::atomic::AtomicUsize, sync::atomic::Ordering};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    /// An engine that is already removing the container, which is gone after so many looks.
    fn engine(socket: &Path, looks: usize) -> Arc<AtomicUsize> {
        let listener = UnixListener::bind(socket).unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let counted = counted.clone();
                tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    while let Ok(got @ 1..) = client.read(&mut head).await {
                        let (status, body) = if head[..got].starts_with(b"DELETE") {
                            let message = "removal of container x is already in progress";
                            ("409 Conflict", format!("{{\"message\":\"{message}\"}}"))
                        } else if counted.fetch_add(1, Ordering::SeqCst) < looks {
                            ("200 OK", "{\"Id\":\"x\"}".to_owned())
                        } else {
                            let message = "{\"message\":\"No such container: x\"}";
                            ("404 Not Found", message.to_owned())
                        };
                        let length = body.len();
                        let answer = format!(
                            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\
                             Content-Length: {length}\r\n\r\n{body}"
                        );
                        client.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        seen
    }

    #[tokio::test]
    async fn a_removal_under_way_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        let seen = engine(&socket, 3);
        let second = Duration::from_secs(20);
        let docker = Docker::connect(&socket, second, second).unwrap();
        docker.remove("x").await.unwrap();
        assert_eq!(
            seen.load(Ordering::SeqCst),
            4,
            "it was still there three times"
        );
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine.sock");
        engine(&socket, usize::MAX);
        let limit = Duration::from_secs(1);
        let docker = Docker::connect(&socket, Duration::from_secs(20), limit).unwrap();
        let error = docker.remove("x").await.unwrap_err();
        assert!(error.to_string().contains("did not end in 1 s"), "{error}");
        assert!(!error.engine_is_away(), "one container is no engine");
    }
}
