//! A coordinator that follows a script, and the dashboard on a PTY.

#![allow(dead_code, reason = "each test binary uses a part of it")]

mod pty;
mod review;
mod script;

pub use pty::Dashboard;
pub use script::{Script, worker};

use coordinator::{
    client::{Client, Target},
    dashboard::{DashboardOptions, run},
};
use std::time::Duration;

/// Runs the dashboard when `PODBAY_TEST_SOCKET` names a socket: the body of the test named
/// `the_dashboard_itself`, which every binary that starts a [`Dashboard`] has. With
/// `PODBAY_TEST_PANIC` a thread of it panics after a second.
pub fn be_the_dashboard() {
    let Some(socket) = std::env::var_os("PODBAY_TEST_SOCKET") else {
        return;
    };
    let client = Client::new(Target::Socket(socket.into()));
    if std::env::var_os("PODBAY_TEST_PANIC").is_some() {
        std::thread::spawn(|| {
            std::thread::park_timeout(Duration::from_secs(1));
            panic!("on purpose");
        });
    }
    runtime()
        .block_on(run(client, DashboardOptions::default()))
        .unwrap();
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
