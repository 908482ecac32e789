//! The coordinator's own edge: the socket, the port, the audit log.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, bare, text},
    processes, wait,
};
use nix::sys::signal::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::MetadataExt,
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

const BOUND: Duration = Duration::from_secs(20);

/// A certificate for the parent's address, where the configuration says.
fn certify(folder: &Path, address: &str) {
    let made = rcgen::generate_simple_self_signed(vec![address.to_owned(), "bay.test".to_owned()])
        .unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

/// The raw answer to a raw request over TLS.
fn raw(address: &str, ca: &Path, request: &[u8]) -> String {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = ServerName::try_from("bay.test").unwrap();
    let socket = TcpStream::connect((address, 7777)).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    // The answer may come, and the connection be closed, before all of it is sent.
    drop(stream.write_all(request));
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..count]);
        if count == 0
            || text(&answer).contains("\r\n\r\n") && text(&answer).trim_end().ends_with('}')
        {
            break;
        }
    }
    text(&answer)
}

fn refused(answer: &str, status: &str, kind: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")),
        "{answer}"
    );
    let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap_or_default())
        .unwrap_or_else(|e| panic!("{e}: {answer}"));
    assert_eq!(body["kind"], kind, "{answer}");
    assert!(
        body["message"].is_string() && body["hint"].is_string(),
        "{answer}"
    );
}

#[test]
fn the_port_serves_who_has_the_token_and_refuses_the_rest() {
    let api = "[api]\nlisten = \"0.0.0.0:7777\"\ntls_cert = \"/var/lib/podbay/tls/cert.pem\"\n\
               tls_key = \"/var/lib/podbay/tls/key.pem\"\ntoken_file = \"/var/lib/podbay/tls/token\"\n\
               hosts = [\"bay.test\"]\norigins = [\"https://page.test\"]\n";
    let instance = Instance::prepare(&format!("{api}{}", instance::config(1, 2)));
    engine::docker(&["volume", "create", instance.volume()]);
    let tls = instance.state().join("tls");
    certify(&tls, "127.0.0.1");
    let up = instance.up(&[]);
    assert!(
        up.status.success(),
        "{}{}",
        text(&up.stderr),
        instance.parent_log()
    );
    let socket = fs::metadata(instance.socket()).unwrap();
    assert_eq!(socket.mode() & 0o7777, 0o600, "the socket");
    assert_eq!(
        fs::metadata(instance.state().join("run")).unwrap().mode() & 0o777,
        0o700
    );
    let token_file = tls.join("token");
    let token = fs::read_to_string(&token_file).unwrap().trim().to_owned();
    assert_eq!(token.len(), 64);
    assert_eq!(
        fs::metadata(&token_file).unwrap().mode() & 0o7777,
        0o600,
        "the token"
    );

    // Its address is known only now: another certificate, taken by the next coordinator.
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = engine::docker(&["inspect", "-f", format, &instance.name]);
    certify(&tls, &address);
    let before = instance.coordinator().unwrap();
    assert!(processes::signal(before, Signal::SIGTERM));
    wait::until_true("the next coordinator", SLOW, || {
        instance.coordinator().is_some_and(|pid| pid != before)
            && instance.ask(["status", "--json"]).is_some()
    });
    let ca = tls.join("cert.pem");
    let send = |head: &str, body: &[u8]| {
        let mut request = head.replace('\n', "\r\n").into_bytes();
        request.extend_from_slice(body);
        raw(&address, &ca, &request)
    };
    let bearer = format!("Authorization: Bearer {token}\n");

    let ok = send(
        &format!("GET /v1/version HTTP/1.1\nHost: bay.test\n{bearer}\n"),
        b"",
    );
    assert!(ok.starts_with("HTTP/1.1 200"), "{ok}");
    let wrong = bearer.replace(&token[..1], if token.starts_with('0') { "1" } else { "0" });
    for authorization in [
        "",
        "Authorization: Bearer \n",
        "Authorization: Basic eDp5\n",
        &wrong,
    ] {
        for path in ["/v1/version", "/v1/metrics", "/v1/events", "/nothing"] {
            let head = format!("GET {path} HTTP/1.1\nHost: bay.test\n{authorization}\n");
            refused(&send(&head, b""), "401", "unauthorized");
        }
    }
    for origin in ["null", "https://evil.test"] {
        let head =
            format!("GET /v1/version HTTP/1.1\nHost: bay.test\nOrigin: {origin}\n{bearer}\n");
        refused(&send(&head, b""), "403", "refused");
    }
    let head =
        format!("GET /v1/version HTTP/1.1\nHost: bay.test\nOrigin: https://page.test\n{bearer}\n");
    assert!(send(&head, b"").starts_with("HTTP/1.1 200"));
    let head = format!("GET /v1/version HTTP/1.1\nHost: evil.test\n{bearer}\n");
    refused(&send(&head, b""), "403", "refused");
    let long = "a".repeat(20_000);
    let head = format!("GET /v1/version HTTP/1.1\nHost: bay.test\nX-Long: {long}\n{bearer}\n");
    refused(&send(&head, b""), "431", "headers_too_large");
    let longer = "a".repeat(100_000);
    let head = format!("GET /v1/version HTTP/1.1\nHost: bay.test\nX-Long: {longer}\n{bearer}\n");
    assert!(!send(&head, b"").contains("200 OK"));
    let body = vec![b'x'; (1 << 20) + 1];
    let head = format!(
        "POST /v1/workers HTTP/1.1\nHost: bay.test\n{bearer}Content-Type: application/json\nContent-Length: {}\n\n",
        body.len()
    );
    refused(&send(&head, &body), "413", "too_large");

    // Who speaks no TLS, or nothing, is let go.
    let began = Instant::now();
    for first in [&b"GET / HTTP/1.1\r\n\r\n"[..], b""] {
        let mut plain = TcpStream::connect((address.as_str(), 7777)).unwrap();
        plain.set_read_timeout(Some(BOUND)).unwrap();
        plain.write_all(first).unwrap();
        let mut answer = Vec::new();
        drop(plain.read_to_end(&mut answer));
        assert!(!text(&answer).contains("HTTP/1.1"), "{}", text(&answer));
    }
    println!("let go after {:.1} s", began.elapsed().as_secs_f64());
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());

    // The command line over it: calls, an attached session, events.
    let remote = |args: &[&str]| {
        let mut command = bare(args.iter().copied());
        command
            .env("PODBAY_HOST", format!("https://{address}:7777"))
            .env("PODBAY_TOKEN_FILE", &token_file)
            .env("PODBAY_CA_FILE", &ca);
        command
    };
    let run = |args: &[&str]| {
        let output = remote(args).output().unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    };
    let mut events = remote(&["ls", "-w", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(
        run(&[
            "spawn",
            "-d",
            "-n",
            "far",
            "--isolation",
            "none",
            "--",
            "sleep",
            "1000"
        ])
        .trim(),
        "far"
    );
    assert_eq!(run(&["exec", "far", "echo", "hello"]), "hello\n");
    // It is killed once it has shown the worker: how soon that is, is the machine's.
    let mut shown = BufReader::new(events.stdout.take().unwrap()).lines();
    assert!(shown.any(|line| line.unwrap().contains("far")));
    events.kill().unwrap();
    events.wait().unwrap();
    run(&["stop", "far"]);
    let no_token = remote(&["ls"])
        .env("PODBAY_TOKEN_FILE", &ca)
        .output()
        .unwrap();
    assert!(!no_token.status.success());

    // All of it is on record, and the token is not.
    let audit = instance.ok(["audit", "--json"]);
    assert!(!audit.contains(&token), "{audit}");
    let entries: Vec<Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |what: &str| {
        entries
            .iter()
            .filter(|e| e["what"] == what)
            .collect::<Vec<_>>()
    };
    let refusals = of("authenticate");
    assert!(
        (1..=10).contains(&refusals.len()),
        "bounded: {}",
        refusals.len()
    );
    assert_eq!(refusals[0]["result"], "unauthorized");
    assert_eq!(refusals[0]["who"]["by"], "tcp");
    assert!(refusals[0]["who"]["token"].is_null());
    let spawn = of("spawn")
        .into_iter()
        .find(|e| e["worker"] == "far")
        .unwrap();
    assert_eq!(
        (&spawn["result"], &spawn["profile"]),
        (&"ok".into(), &"default".into())
    );
    assert_eq!(
        spawn["who"]["token"].as_str().map(str::len),
        Some(8),
        "{spawn}"
    );
    assert!(!of("stop").is_empty() && !of("exec").is_empty() && !of("attach").is_empty());
}

#[test]
fn who_did_what_is_on_record_whoever_asks() {
    let instance = Instance::start(&instance::config(1, 2));
    instance.session("one", &["sleep", "1000"]);
    let secret_argument = "--password=not-for-the-log";
    instance.run(["exec", "one", "true", secret_argument]);
    assert!(!instance.run(["stop", "nobody"]).status.success());
    let direct = instance.direct(["rename", "one", "two"]).output().unwrap();
    assert!(direct.status.success(), "{}", text(&direct.stderr));
    instance.ok(["stop", "two"]);
    instance.ok(["ls"]);
    let audit = instance.ok(["audit", "--json"]);
    assert!(!audit.contains(secret_argument), "{audit}");
    let entries: Vec<Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seen: Vec<(&str, &str)> = entries
        .iter()
        .map(|e| (e["what"].as_str().unwrap(), e["result"].as_str().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("spawn", "ok"),
            ("exec", "ok"),
            ("attach", "ok"),
            ("stop", "not_found"),
            ("rename", "ok"),
            ("stop", "ok")
        ]
    );
    assert_eq!(entries[0]["who"]["by"], "unix");
    assert_eq!(
        entries[0]["who"]["program"], "podbay relay",
        "{}",
        entries[0]
    );
    assert_eq!(entries[0]["worker"], "one");
    assert_eq!(
        (&entries[1]["worker"], &entries[1]["detail"]),
        (&"one".into(), &"true".into())
    );
    assert_eq!(entries[4]["detail"], "to two");
    assert!(
        entries
            .iter()
            .all(|e| e["time"].is_string() && e["duration_ms"].is_u64())
    );
    let file = fs::metadata(instance.state().join("logs/audit.jsonl")).unwrap();
    assert_eq!(file.mode() & 0o777, 0o600);
    // It survives the coordinator, and what is older is not shown when that is asked for.
    let before = instance.coordinator().unwrap();
    assert!(processes::signal(before, Signal::SIGKILL));
    wait::until_true("the next coordinator", SLOW, || {
        instance.ask(["status", "--json"]).is_some()
    });
    assert_eq!(
        instance.ok(["audit", "--json"]).lines().count(),
        entries.len()
    );
    assert_eq!(
        instance
            .ok(["audit", "--json", "--since", "1h"])
            .lines()
            .count(),
        entries.len()
    );
    let last = instance.ok(["audit", "--json", "--tail", "1"]);
    let last: Value = serde_json::from_str(&last).expect("one entry");
    assert_eq!(Some(&last), entries.last());
    let shown = instance.ok(["audit"]);
    assert!(
        shown.contains("podbay relay") && shown.contains("rename"),
        "{shown}"
    );
}
