//! An agent without a worker. Its programs are words: what each does is said at [`Agent::play`].

use podbay_protocol::{
    AgentError, AgentEvent, Attach, Description, ErrorCode, ExitStatus, FrameDecoder, FromAgent,
    Hello, PROTOCOL_VERSION, Purpose, Readings, Reply, Response, StartSession, ToAgent,
    ToAgentBody, Welcome, encode, paths,
};
use serde::Serialize;
use std::{collections::BTreeMap, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
};

/// What a program says at once when it says much.
pub const MUCH: usize = 1 << 20;

#[derive(Clone)]
struct Agent {
    run: PathBuf,
    worker: String,
    events: mpsc::UnboundedSender<AgentEvent>,
}

/// Dials until it is let in, and serves that connection.
pub async fn run(state: PathBuf, worker: String) {
    let (events, mut reports) = mpsc::unbounded_channel();
    let run = state.join("workers").join(&worker).join("run");
    let agent = Agent {
        run,
        worker,
        events,
    };
    let mut control = loop {
        match agent.dial(Purpose::Control).await {
            Some(socket) => break socket,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let mut sessions = BTreeMap::new();
    let (mut decoder, mut welcome) = (FrameDecoder::new(), false);
    let mut buffer = [0; 16 << 10];
    loop {
        if !welcome {
            welcome = decoder.next_frame::<Welcome>().unwrap().is_some();
        }
        while welcome && let Some(request) = decoder.next_frame::<ToAgent>().unwrap() {
            let result = agent.answer(&mut sessions, request.body).await;
            let id = request.id;
            send(&mut control, &FromAgent::Response(Response { id, result })).await;
        }
        tokio::select! {
            Some(event) = reports.recv() => send(&mut control, &FromAgent::Event(event)).await,
            read = control.read(&mut buffer) => match read {
                Ok(count @ 1..) => decoder.push(&buffer[..count]),
                _ => return,
            },
        }
    }
}

/// The coordinator may be gone: then the test is over.
async fn send(socket: &mut UnixStream, message: &impl Serialize) {
    drop(socket.write_all(&encode(message).unwrap()).await);
}

impl Agent {
    async fn dial(&self, purpose: Purpose) -> Option<UnixStream> {
        let token = std::fs::read_to_string(self.run.join(paths::TOKEN_NAME)).ok()?;
        let socket = UnixStream::connect(self.run.join(paths::SOCKET_NAME)).await;
        let mut socket = socket.ok()?;
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            worker: self.worker.clone(),
            token: token.trim().to_owned(),
            purpose,
            takes_clients: false,
        };
        socket.write_all(&encode(&hello).unwrap()).await.ok()?;
        Some(socket)
    }

    async fn answer(
        &self,
        sessions: &mut BTreeMap<String, StartSession>,
        body: ToAgentBody,
    ) -> Result<Reply, AgentError> {
        match body {
            ToAgentBody::Describe => Ok(Reply::Described(Box::new(Description {
                worker: self.worker.clone(),
                build: env!("CARGO_PKG_VERSION").to_owned(),
                uptime_ms: 1,
                netns: std::fs::metadata("/proc/self/ns/net").unwrap().ino(),
                workspace_dev: 0,
                workspace_ino: 0,
                workspace_uid: 0,
                workspace_gid: 0,
                workspace_mounted: false,
                landlock: None,
                sessions: Vec::new(),
                readings: Readings::default(),
            }))),
            ToAgentBody::Readings => Ok(Reply::Readings(Readings::default())),
            ToAgentBody::Start(start) if start.argv[0] == "absent" => Err(AgentError {
                code: ErrorCode::CommandNotFound,
                message: "absent: not found".to_owned(),
            }),
            ToAgentBody::Start(start) => {
                if let Some(attach) = &start.attach {
                    self.attach(&start, attach).await;
                }
                sessions.insert(start.session.clone(), *start);
                Ok(Reply::Started { pid: 7, exec_us: 1 })
            }
            ToAgentBody::Attach(attach) => match sessions.get(&attach.session) {
                Some(start) => {
                    self.attach(start, &attach).await;
                    Ok(Reply::Attached { writer: true })
                }
                None => Err(AgentError {
                    code: ErrorCode::NoSuchSession,
                    message: "no such session".to_owned(),
                }),
            },
            _ => Ok(Reply::Done),
        }
    }

    async fn attach(&self, start: &StartSession, attach: &Attach) {
        let stream = attach.stream.clone();
        let main = self.dial(Purpose::Stream { stream }).await.unwrap();
        let error = match attach.error_stream.clone() {
            Some(stream) => self.dial(Purpose::Stream { stream }).await,
            None => None,
        };
        let (agent, start) = (self.clone(), start.clone());
        tokio::spawn(async move { agent.play(start, main, error).await });
    }

    fn ended(&self, start: &StartSession, code: i32) {
        let event = AgentEvent::Exited {
            session: start.session.clone(),
            status: ExitStatus::Code(code),
            oom: false,
        };
        drop(self.events.send(event));
    }

    /// What the session's program does for a client. All of them end quietly with their client.
    async fn play(&self, start: StartSession, mut main: UnixStream, error: Option<UnixStream>) {
        match start.argv[0].as_str() {
            // Its end is known before a byte of what it said has been sent.
            "ends-first" => {
                self.ended(&start, 3);
                if let Some(mut error) = error {
                    drop(error.write_all(&vec![b'e'; MUCH]).await);
                }
                drop(main.write_all(&vec![b'o'; MUCH]).await);
            }
            // The connection breaks, and the program goes on.
            "breaks" => drop(main.write_all(b"some").await),
            // It never reads.
            "deaf" => std::future::pending().await,
            // It says what it hears, until `q`, or says how much that was at the end of its input.
            _ => {
                let (mut chunk, mut total) = (vec![0; 4096], 0);
                loop {
                    match main.read(&mut chunk).await {
                        Ok(count @ 1..) => {
                            total += count;
                            drop(main.write_all(&chunk[..count]).await);
                            if chunk[..count].contains(&b'q') {
                                return self.ended(&start, 7);
                            }
                        }
                        _ => return drop(main.write_all(format!("{total}").as_bytes()).await),
                    }
                }
            }
        }
    }
}
