//! Rivals that are programs: the engine's own command line, and tmux.

use crate::threads::blocking;
use coordinator::cli::Failure;
use std::{
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Label of the bench's own containers.
pub const LABEL: &str = "dev.podbay.bench";

/// Kills and reaps a command when its first byte has come, or at a failure.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn first_byte(arguments: &[String]) -> Result<Duration, Failure> {
    let began = Instant::now();
    let child = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new(1, format!("docker: {error}")))?;
    let mut child = Reaped(child);
    let mut byte = [0];
    let came = match &mut child.0.stdout {
        Some(stdout) => stdout.read(&mut byte)?,
        None => 0,
    };
    let took = began.elapsed();
    if came == 1 {
        return Ok(took);
    }
    let mut said = String::new();
    if let Some(stderr) = &mut child.0.stderr {
        stderr.read_to_string(&mut said)?;
    }
    Err(Failure::new(1, format!("docker wrote nothing: {said}")))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `docker run` in the parent's network namespace, from the command line to the first byte.
/// The container is removed before this returns, outside of the time.
pub async fn docker_run(
    run: &str,
    parent: &str,
    image: &str,
    command: &str,
) -> Result<Duration, Failure> {
    let label = format!("{LABEL}={run}");
    let network = format!("container:{parent}");
    let arguments = words(&[
        "run",
        "--rm",
        "--label",
        &label,
        "--network",
        &network,
        "--entrypoint",
        "/bin/sh",
        image,
        "-c",
        command,
    ]);
    let took = blocking(move || first_byte(&arguments)).await;
    remove_labelled(run).await;
    took
}

/// `docker exec` in a running container, from the command line to the first byte.
pub async fn docker_exec(container: &str, command: &str) -> Result<Duration, Failure> {
    let arguments = words(&["exec", container, "/bin/sh", "-c", command]);
    blocking(move || first_byte(&arguments)).await
}

/// Removes every container of this run's label.
pub async fn remove_labelled(run: &str) {
    let filter = format!("label={LABEL}={run}");
    let removed = blocking(move || {
        let list = ["ps", "--all", "--quiet", "--filter", &filter];
        let found = Command::new("docker").args(list).output()?;
        let ids = String::from_utf8_lossy(&found.stdout).into_owned();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            Command::new("docker")
                .args(["rm", "--force"])
                .args(ids)
                .output()?;
        }
        Ok(())
    });
    // What is left carries the label; there is nobody to tell at a clean-up.
    removed.await.ok();
}

/// tmux on `PATH`.
pub fn find_tmux() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join("tmux"));
    candidates.find(|file| file.is_file())
}

/// Name of this run's own tmux server.
pub fn tmux_server(run: &str) -> String {
    format!("podbay-bench-{run}")
}

/// Kills this run's tmux server, if there is one.
pub async fn kill_tmux(run: &str) {
    let server = tmux_server(run);
    let killed = blocking(move || {
        let Some(tmux) = find_tmux() else {
            return Ok(());
        };
        Command::new(tmux)
            .args(["-L", &server, "kill-server"])
            .output()?;
        Ok(())
    });
    killed.await.ok();
}
