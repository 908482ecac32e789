//! Figures, by hand: `cargo test --release -p worker-agent --test measure -- --ignored --nocapture`.
//! `PODBAY_TEST_AGENT` names another build of the binary. Nothing is asserted about time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podbay_protocol::*;
use std::{
    io::Read,
    os::fd::AsFd,
    process::Command,
    time::{Duration, Instant},
};
use support::{Worker, attach, session};
use worker_agent::pty;

fn worker() -> Worker {
    let bin = std::env::var("PODBAY_TEST_AGENT").unwrap_or_else(|_| support::BIN.to_owned());
    Worker::start_with(|_| Command::new(bin))
}

fn rss_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The same without the agent: a terminal, a fork, a reader.
fn plain(script: &str, to_end: bool) -> (Duration, usize) {
    let c = |text: &str| std::ffi::CString::new(text).unwrap();
    let (uid, gid) = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    let begin = Instant::now();
    let pty = pty::open_pty(Size::default(), uid, gid).unwrap();
    let fds = [pty.slave.as_fd(), pty.slave.as_fd(), pty.slave.as_fd()];
    let pid = pty::spawn(&pty::Exec {
        candidates: &[c("/bin/sh")],
        argv: &[c("sh"), c("-c"), c(script)],
        env: &[c("PATH=/usr/bin:/bin")],
        cwd: None,
        stdio: Some(fds),
        terminal: true,
        session: true,
        identity: None,
        oom_score_adj: None,
    })
    .unwrap();
    drop(pty.slave);
    let (mut buffer, mut total) = (vec![0; 1 << 16], 0);
    loop {
        let mut fds = [PollFd::new(pty.master.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE).unwrap();
        match nix::unistd::read(&pty.master, &mut buffer) {
            Ok(count) if count > 0 => total += count,
            Err(nix::errno::Errno::EAGAIN) => {}
            _ => break,
        }
        if !to_end && total > 0 {
            break;
        }
    }
    let took = begin.elapsed();
    nix::sys::wait::waitpid(pid, None).unwrap();
    (took, total)
}

fn percentile(values: &mut [f64], part: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * part / 100]
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    let mut worker = worker();
    let pid = worker.agent.id();
    println!("idle RSS: {} KB", rss_kb(pid));
    let (mut agent, mut base, mut execs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..300 {
        let id = format!("l{round}");
        let mut start = session(&id, &["/bin/sh", "-c", "echo x"]);
        start.attach = Some(attach(&id, &id, AttachMode::Write));
        let frame = encode(&ToAgent {
            id: 9,
            body: ToAgentBody::Start(Box::new(start)),
        })
        .unwrap();
        let begin = Instant::now();
        worker.send_raw(&frame);
        let mut client = worker.stream(&id);
        client.socket.read_exact(&mut [0]).unwrap();
        agent.push(begin.elapsed().as_micros() as f64);
        if let Ok(Reply::Started { exec_us, .. }) = worker.answer(9) {
            execs.push(exec_us as f64);
        }
        worker.exited(&id);
        base.push(plain("echo x", false).0.as_micros() as f64);
    }
    for (name, values) in [
        ("start to first byte", &mut agent),
        ("plain", &mut base),
        ("exec_us", &mut execs),
    ] {
        println!(
            "{name}: p50 {} us, p95 {} us",
            percentile(values, 50),
            percentile(values, 95)
        );
    }
    println!("RSS after 300 sessions: {} KB", rss_kb(pid));

    let file = worker.dir.path().join("flood");
    let mut text = String::new();
    while text.len() < 64 << 20 {
        text.push_str("\x1b[32m  Compiling\x1b[0m some-crate v1.2.3 (/workspace/crates/some)\n");
    }
    std::fs::write(&file, &text).unwrap();
    let cat = format!("stty raw -echo; cat {}", file.display());
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    let mut exact = 0;
    for round in 0..5 {
        let (took, total) = plain(&cat, true);
        assert_eq!(total, text.len());
        rates[0].push(total as f64 / took.as_secs_f64() / 1e6);
        for record in [false, true] {
            let id = format!("flood-{round}-{record}");
            let mut start = session(&id, &["/bin/sh", "-c", &cat]);
            start.record = record;
            start.attach = Some(attach(&id, &id, AttachMode::Write));
            let begin = Instant::now();
            worker.start_session(start);
            let mut client = worker.stream(&id);
            let got = client.rest();
            let rate = text.len() as f64 / begin.elapsed().as_secs_f64() / 1e6;
            // A rate counts only when exactly the program's bytes came, no resync in between.
            exact += usize::from(got == text.as_bytes());
            rates[1 + usize::from(record)].push(rate);
        }
    }
    println!("exact: {exact} of 10");
    for (name, values) in ["plain", "agent", "agent, recording"]
        .iter()
        .zip(&mut rates)
    {
        println!(
            "{name}: {values:.1?} MB/s, median {:.1}",
            percentile(values, 50)
        );
    }
    println!("RSS after the floods: {} KB", rss_kb(pid));
    worker.start_session(session("last", &["sleep", "1000"]));
    let begin = Instant::now();
    worker.ask(ToAgentBody::Shutdown { grace_ms: 800 }).unwrap();
    worker.wait();
    println!(
        "stop with a running session: {} ms",
        begin.elapsed().as_millis()
    );
}
