//! Writes frames on a thread of its own: a terminal that takes nothing never holds up the loop. One
//! frame is on its way at a time; the next one is made once that is written.

use crate::dashboard::io::terminal::guard;
use std::io;
use tokio::sync::mpsc;

/// The thread's near end.
pub struct FrameWriter {
    frames: mpsc::Sender<Vec<u8>>,
    written: mpsc::Receiver<io::Result<()>>,
    busy: bool,
}

impl FrameWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start() -> io::Result<Self> {
        let (frames, mut queue) = mpsc::channel::<Vec<u8>>(1);
        let (done, written) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("frames".to_owned())
            .spawn(move || {
                while let Some(frame) = queue.blocking_recv() {
                    if done.blocking_send(guard::write_frame(&frame)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            frames,
            written,
            busy: false,
        })
    }

    /// Whether a frame is on its way.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Sends a frame. None may be on its way.
    ///
    /// # Errors
    /// When the thread is gone.
    pub fn write(&mut self, frame: Vec<u8>) -> io::Result<()> {
        if frame.is_empty() {
            return Ok(());
        }
        self.busy = true;
        self.frames
            .try_send(frame)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Waits for the frame that is on its way; permanently when there is none. Safe to drop.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub async fn written(&mut self) -> io::Result<()> {
        if !self.busy {
            return std::future::pending().await;
        }
        let written = self.written.recv().await;
        self.busy = false;
        written.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))
    }
}
