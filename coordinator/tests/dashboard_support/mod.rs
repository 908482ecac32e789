//! A coordinator that follows a script, and the dashboard on a PTY.

mod pty;
mod review;
mod script;

pub use pty::Dashboard;
pub use script::{Script, worker};

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
