//! The whole chain from the host: engine exec, `podbay relay`, the socket.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use cli_support::Peer;
use coordinator::{
    client::{
        Client, Incoming, Target,
        engine::Engine,
        engine_address::{self, SystemEnv},
    },
    wire::AttachQuery,
};
use podbay_protocol::AttachMode;
use std::{process::Command, time::Instant};

const IMAGE: &str = "podbay/base:bookworm";

fn bind(source: &std::path::Path, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.display().to_string()),
        target: Some(target.into()),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_reaches_the_coordinator_through_engine_exec() {
    let peer = Peer::start();
    let name = format!("podbay-test-relay-{}", std::process::id());
    let address = engine_address::find(&SystemEnv).unwrap();
    let engine = Engine::connect(address.clone()).await.unwrap();
    let body = ContainerCreateBody {
        image: Some(IMAGE.into()),
        cmd: Some(vec!["sleep".into(), "600".into()]),
        host_config: Some(HostConfig {
            mounts: Some(vec![
                bind(env!("CARGO_BIN_EXE_podbay").as_ref(), "/usr/bin/podbay"),
                bind(peer.socket.parent().unwrap(), "/var/lib/podbay/run"),
            ]),
            ..Default::default()
        }),
        ..Default::default()
    };
    engine.create(&name, body).await.unwrap();
    engine.start(&name).await.unwrap();
    // The peer's socket has another name than the coordinator's.
    std::os::unix::fs::symlink("api.sock", peer.socket.with_file_name("podbay.sock")).unwrap();

    let client = Client::new(Target::Exec {
        engine: address,
        container: name.clone(),
    });
    let begin = Instant::now();
    assert_eq!(client.version().await.unwrap().api, 1);
    println!("first call {:?}", begin.elapsed());
    let begin = Instant::now();
    client.input("one", vec![b'x'; 100_000]).await.unwrap();
    assert_eq!(client.worker("gone").await.unwrap_err().exit_code(), 5);
    println!("two more {:?}", begin.elapsed());

    let query = AttachQuery {
        mode: AttachMode::Write,
        cols: None,
        rows: None,
        session: None,
        silent: false,
    };
    let (_sender, mut receiver) = client.attach("flood", &query).await.unwrap().split();
    let (begin, mut total) = (Instant::now(), 0);
    while let Some(incoming) = receiver.next().await {
        if let Incoming::Output(bytes) = incoming.unwrap() {
            total += bytes.len();
        }
    }
    assert_eq!(total, 64 << 20);
    println!(
        "{:.0} MB/s",
        total as f64 / 1e6 / begin.elapsed().as_secs_f64()
    );

    let begin = Instant::now();
    let listed = Command::new(env!("CARGO_BIN_EXE_podbay"))
        .args(["ls", "-q", "--parent", &name])
        .env_remove("PODBAY_SOCKET")
        .output()
        .unwrap();
    println!("podbay ls {:?}", begin.elapsed());
    assert_eq!(
        String::from_utf8_lossy(&listed.stdout),
        "one\ntwo\n",
        "{listed:?}"
    );
    let relays = || {
        let top = Command::new("docker")
            .args(["top", &name])
            .output()
            .unwrap();
        String::from_utf8_lossy(&top.stdout)
            .matches("podbay relay")
            .count()
    };
    drop(client);
    drop(receiver);
    drop(_sender);
    cli_support::wait_until("the relays to end", || relays() == 0);
    engine.remove(&name, 0).await.unwrap();
}
