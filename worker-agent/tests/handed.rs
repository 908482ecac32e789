//! Clients whose sockets the agent has, on the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod support;

use podbay_protocol::*;
use support::{
    Worker, attach,
    handed::{Said, frame},
    wait_until,
};

fn detached(worker: &mut Worker, id: &str) -> u32 {
    worker.event(&format!("detach of {id}"), |event| match event {
        AgentEvent::Detached {
            stream, clients, ..
        } if stream == id => Some(*clients),
        _ => None,
    })
}

#[test]
fn a_handed_client_gets_screen_output_and_exit_on_its_own_socket() {
    let mut worker = Worker::start();
    let script = "stty -echo; echo first; while read x; do echo \"<$x>\"; \
                  [ $x = end ] && exit 7; done";
    let (pid, mut client) = worker.handed_shell("s", script);
    assert_eq!(client.greeted(), (true, false));
    client.until("first");
    client.type_in("one\n");
    client.until("<one>");
    assert_eq!(worker.info("s").streams, ["s-0"]);
    drop(client);
    assert_eq!(detached(&mut worker, "s-0"), 0);
    // What waits for the socket: the screen, and what came before it.
    let mut again = attach("s", "again", AttachMode::Write);
    again.handed = true;
    let attached = worker.ask(ToAgentBody::Attach(again));
    assert_eq!(attached, Ok(Reply::Attached { writer: true }));
    let typed = worker.ask(ToAgentBody::Input {
        session: "s".into(),
        data: b"two\n".to_vec(),
    });
    assert_eq!(typed, Ok(Reply::Done));
    wait_until("the screen", || worker.screen("s").contains("<two>"));
    // What the coordinator read of the client's is heard first.
    let first = frame(AttachKind::Main, b"thr");
    let mut client = worker.hand("again", &first);
    assert_eq!(client.greeted(), (true, false));
    client.type_in("ee\n");
    let seen = client.until("<three>");
    let order = ["first", "<one>", "<two>"].map(|text| seen.find(text).unwrap());
    assert!(order.is_sorted(), "{seen}");
    assert_eq!(worker.info("s").pid, pid);
    client.type_in("end\n");
    let said = client.rest();
    let Some((Said::Message(last), [Said::Main(output)])) = said.split_last() else {
        panic!("{said:?}");
    };
    assert!(String::from_utf8_lossy(output).contains("<end>"));
    let status = ExitStatus::Code(7);
    assert_eq!(*last, SessionMessage::Exited { status, oom: false });
    assert_eq!(worker.exited("s"), status);
    drop(client);
    assert_eq!(detached(&mut worker, "again"), 0);
    // Who attaches afterwards gets the last screen and the exit.
    let (writer, mut late) = worker.attach_handed(attach("s", "late", AttachMode::Write));
    assert!(!writer);
    assert_eq!(late.greeted(), (false, false));
    let said = late.rest();
    assert!(
        matches!(&said[0], Said::Main(screen) if String::from_utf8_lossy(screen).contains("<end>"))
    );
    assert_eq!(
        said[1..],
        [Said::Message(SessionMessage::Exited { status, oom: false })]
    );
}
