//! Situations from bug reports of tools like this one: a table of images, projects and programs as they are.
//!
//! Each case is a few lines of input and what a user should see. A new report is a new line, or a test
//! beside those of its kind.

mod images;
mod projects;

use e2e::{
    engine,
    instance::{Instance, text},
    project::Project,
    unique,
};
use std::{io::Write, process::Stdio};

/// An image that goes with the test.
struct Image(String);

impl Image {
    /// Built of the worker's image and these lines of a Dockerfile.
    fn of(lines: &str) -> Self {
        let image = Self(format!("{}:latest", unique("podbay-e2e-situation")));
        image.build(lines);
        image
    }

    /// Builds it again under the same name.
    fn build(&self, lines: &str) {
        let file = format!("FROM {}\n{lines}\n", e2e::instance::worker_image());
        let mut build = engine::Engine::default()
            .command(&["build", "-q", "--force-rm", "-t", &self.0, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("running docker build");
        let mut stdin = build.stdin.take().expect("its stdin");
        stdin
            .write_all(file.as_bytes())
            .expect("sending a Dockerfile");
        drop(stdin);
        let built = build.wait_with_output().expect("waiting for docker build");
        assert!(built.status.success(), "{file}{}", text(&built.stderr));
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(engine::try_docker(&["rmi", "-f", &self.0]));
    }
}

/// What a script prints in a worker of the project.
fn script(instance: &Instance, flags: &[&str], project: &Project, script: &str) -> String {
    let folder = project.text();
    let mut args = vec!["spawn"];
    args.extend(flags);
    args.extend([folder.as_str(), "--", "sh", "-c", script]);
    let output = instance.run(&args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out
}
