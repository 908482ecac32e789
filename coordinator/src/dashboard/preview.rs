//! Watches one worker: attaches read-only, feeds the restore blob and the live bytes into a
//! terminal model, and sends pictures of its grid. Bytes of a worker go no further than this file.

use super::{
    event::{LiveBody, LiveMsg, LiveTarget, Msg, Picture},
    grid::{Grid, GridCell},
    term_guard::contained,
};
use crate::{
    client::{AttachReceiver, Client, Incoming},
    wire::{AttachQuery, ServerMessage},
};
use podbay_protocol::{AttachMode, Size};
use ratatui::style::{Color, Modifier, Style};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use worker_agent::screen::{self, Screen, ScreenOptions, Underline};

/// Waits so long before attaching, so that running through the list attaches to nothing on the way.
const SETTLE: Duration = Duration::from_millis(60);
/// Shortest time between two pictures.
const FRAME: Duration = Duration::from_millis(16);
/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));

/// The task that watches; it ends with this.
pub struct Watch {
    task: JoinHandle<()>,
    size: watch::Sender<Size>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Starts to watch.
    pub fn start(client: Client, target: LiveTarget, to: mpsc::Sender<Msg>) -> Self {
        let (size, sizes) = watch::channel(target.size);
        let watcher = Watcher {
            client,
            worker: target.id,
            sizes,
            to,
        };
        Self {
            task: tokio::spawn(watcher.run()),
            size,
        }
    }

    /// The worker's terminal has this size now.
    pub fn resize(&self, size: Size) {
        self.size.send_replace(size);
    }
}

struct Watcher {
    client: Client,
    worker: String,
    sizes: watch::Receiver<Size>,
    to: mpsc::Sender<Msg>,
}

/// How one attach ended.
enum End {
    /// Nothing more will come.
    Final(LiveBody),
    /// It broke; why.
    Broken(String),
}

impl Watcher {
    async fn run(mut self) {
        sleep(SETTLE).await;
        let mut wait = RETRY.0;
        loop {
            let began = Instant::now();
            match self.attach().await {
                End::Final(body) => return self.say(body).await,
                End::Broken(reason) => {
                    self.say(LiveBody::Broken {
                        reason,
                        last: false,
                    })
                    .await;
                }
            }
            wait = if began.elapsed() > RETRY.1 {
                RETRY.0
            } else {
                (wait * 2).min(RETRY.1)
            };
            sleep(wait).await;
        }
    }

    /// The dashboard that does not listen any more has ended this task as well.
    async fn say(&self, body: LiveBody) {
        let worker = self.worker.clone();
        drop(self.to.send(Msg::Live(LiveMsg { worker, body })).await);
    }

    async fn attach(&mut self) -> End {
        // No size: a watcher must not resize the session.
        let query = AttachQuery {
            mode: AttachMode::ReadOnly,
            cols: None,
            rows: None,
            session: None,
        };
        match self.client.attach(&self.worker, &query).await {
            // The sender is kept: dropping it could close the socket.
            Ok(stream) => {
                let (_sender, receiver) = stream.split();
                self.follow(receiver).await
            }
            Err(error) if error.is_transient() => End::Broken(error.to_string()),
            Err(error) => End::Final(LiveBody::Broken {
                reason: error.to_string(),
                last: true,
            }),
        }
    }

    async fn follow(&mut self, mut receiver: AttachReceiver) -> End {
        let mut model = Model::new(*self.sizes.borrow_and_update());
        // When the next picture is due, if one is.
        let mut due: Option<Instant> = None;
        let mut last = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(due.unwrap_or(last)), if due.is_some() => {
                    (due, last) = (None, Instant::now());
                    if let Some(picture) = model.picture() {
                        self.say(LiveBody::Screen(Arc::new(picture))).await;
                    }
                    continue;
                }
                changed = self.sizes.changed() => {
                    if changed.is_err() {
                        return End::Broken("no longer watched".to_owned());
                    }
                    model.resize(*self.sizes.borrow_and_update());
                }
                incoming = receiver.next() => match incoming {
                    Some(Ok(Incoming::Output(bytes))) => model.process(&bytes),
                    Some(Ok(Incoming::Stderr(bytes))) => model.process(&bytes),
                    Some(Ok(Incoming::Message(ServerMessage::Attached { writer, .. }))) => {
                        self.say(LiveBody::Attached { writer }).await;
                    }
                    Some(Ok(Incoming::Message(ServerMessage::Exited { status, .. }))) => {
                        if let Some(picture) = model.picture() {
                            self.say(LiveBody::Screen(Arc::new(picture))).await;
                        }
                        return End::Final(LiveBody::Ended(status));
                    }
                    Some(Ok(Incoming::Message(ServerMessage::Error(error)))) => {
                        return End::Final(LiveBody::Broken { reason: error.message, last: true });
                    }
                    Some(Ok(Incoming::Message(ServerMessage::Spawned(_)))) => continue,
                    Some(Err(error)) => return End::Broken(error.to_string()),
                    None => return End::Broken("the coordinator went away".to_owned()),
                },
            }
            due = due.or(Some((last + FRAME).max(Instant::now())));
        }
    }
}

/// The terminal model, made anew when it panics.
struct Model {
    screen: Option<Screen>,
    size: Size,
}

impl Model {
    fn new(size: Size) -> Self {
        let mut model = Self { screen: None, size };
        model.rebuild();
        model
    }

    fn rebuild(&mut self) {
        // Smaller than this the models have no answers; larger is nobody's terminal.
        let (cols, rows) = (self.size.cols.clamp(2, 1000), self.size.rows.clamp(1, 1000));
        // The picture shows what is in view alone.
        let options = ScreenOptions { scrollback: 0 };
        self.screen = contained(|| Screen::new(cols, rows, options));
    }

    fn process(&mut self, bytes: &[u8]) {
        let Some(screen) = &mut self.screen else {
            return;
        };
        if contained(|| drop(screen.process(bytes))).is_none() {
            self.rebuild();
        }
    }

    fn resize(&mut self, size: Size) {
        self.size = size;
        let (cols, rows) = (size.cols.clamp(2, 1000), size.rows.clamp(1, 1000));
        if let Some(screen) = &mut self.screen
            && contained(|| screen.resize(cols, rows)).is_none()
        {
            self.rebuild();
        }
    }

    fn picture(&self) -> Option<Picture> {
        let screen = self.screen.as_ref()?;
        contained(|| {
            let (cols, rows) = screen.size();
            let mut grid = Grid::new(cols, rows);
            screen.cells(|row, col, cell| grid.set(row, col, grid_cell(&cell)));
            grid.cursor = screen.cursor();
            Picture {
                grid,
                modes: screen.modes(),
                ..Picture::default()
            }
        })
    }
}

fn grid_cell(cell: &screen::Cell<'_>) -> GridCell {
    let printable = !cell.attrs.hidden && !cell.text.chars().any(char::is_control);
    let symbol = match (printable, cell.text.is_empty()) {
        (_, true) => String::new(),
        (true, _) => super::text::clean_cell(cell.text),
        (false, _) => if cell.wide { "  " } else { " " }.to_owned(),
    };
    let attrs = &cell.attrs;
    let modifiers = [
        (attrs.bold, Modifier::BOLD),
        (attrs.dim, Modifier::DIM),
        (attrs.italic, Modifier::ITALIC),
        (attrs.inverse, Modifier::REVERSED),
        (attrs.strike, Modifier::CROSSED_OUT),
        (attrs.underline != Underline::None, Modifier::UNDERLINED),
    ];
    let modifier = modifiers
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, m)| *m)
        .collect();
    let style = Style {
        fg: colour(cell.fg),
        bg: colour(cell.bg),
        ..Style::new().add_modifier(modifier)
    };
    GridCell { symbol: symbol.into(), style }
}

fn colour(given: screen::Color) -> Option<Color> {
    match given {
        screen::Color::Default => None,
        screen::Color::Indexed(i) => Some(Color::Indexed(i)),
        screen::Color::Rgb(r, g, b) => Some(Color::Rgb(r, g, b)),
    }
}
