//! An answer on its way to the coordinator: JSON text in parts. Owns the frames. Never has it whole.

use crate::rpc::{Head, MAX_PART, ResponseOut};
use podbay_protocol::encode;
use serde::Serialize;
use std::io::{self, Write};

/// Sends the frames of one answer: its head, then the parts of its text.
pub(super) struct Answer<'a> {
    id: u64,
    send: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
    text: Vec<u8>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(id: u64, send: &'a mut dyn FnMut(&[u8]) -> io::Result<()>) -> Self {
        Self {
            id,
            send,
            text: Vec::new(),
        }
    }

    /// What is known before the text: whether it is cut, and how many changes there are.
    pub(super) fn head(&mut self, head: Head) -> io::Result<()> {
        self.frame(&ResponseOut {
            id: self.id,
            head: Some(head),
            ..ResponseOut::default()
        })
    }

    /// A value as the whole text.
    pub(super) fn value(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self, value)?;
        self.end()
    }

    /// The text is a list, given item by item.
    pub(super) fn list(&mut self) -> List<'_, 'a> {
        List {
            answer: self,
            any: false,
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.flush()?;
        self.frame(&ResponseOut {
            id: self.id,
            part: Some(""),
            ..ResponseOut::default()
        })
    }

    fn frame(&mut self, out: &ResponseOut<'_>) -> io::Result<()> {
        let frame = encode(out).map_err(|e| io::Error::other(e.to_string()))?;
        (self.send)(&frame)
    }

    /// Sends what there is, but for a character that is not whole yet.
    fn part(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.text);
        let (whole, rest) = match std::str::from_utf8(&text) {
            Ok(whole) => (whole, &[][..]),
            Err(e) => {
                let (whole, rest) = text.split_at(e.valid_up_to());
                (std::str::from_utf8(whole).unwrap_or_default(), rest)
            }
        };
        self.frame(&ResponseOut {
            id: self.id,
            part: Some(whole),
            more: true,
            ..ResponseOut::default()
        })?;
        self.text = rest.to_vec();
        Ok(())
    }
}

impl Write for Answer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_PART.saturating_sub(self.text.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.text.extend_from_slice(taken);
        if self.text.len() >= MAX_PART {
            self.part()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.part()
    }
}

/// A list in the making.
pub(super) struct List<'l, 'a> {
    answer: &'l mut Answer<'a>,
    any: bool,
}

impl List<'_, '_> {
    pub(super) fn push(&mut self, item: &impl Serialize) -> io::Result<()> {
        let before = if self.any { b"," } else { b"[" };
        self.any = true;
        self.answer.write_all(before)?;
        Ok(serde_json::to_writer(&mut *self.answer, item)?)
    }

    pub(super) fn done(self) -> io::Result<()> {
        self.answer.write_all(if self.any { b"]" } else { b"[]" })?;
        self.answer.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::ResponseFrame;
    use podbay_protocol::FrameDecoder;

    #[test]
    fn a_long_list_arrives_in_parts_and_whole() {
        let mut frames = Vec::new();
        let mut send = |frame: &[u8]| {
            frames.push(frame.to_vec());
            Ok(())
        };
        let items: Vec<String> = (0..40)
            .map(|n| format!("{n} \"ü\\\n").repeat(9_001))
            .collect();
        let mut answer = Answer::new(7, &mut send);
        let sent = Head {
            truncated: true,
            left: 3,
            refused: 1,
            project_missing: true,
        };
        answer.head(sent).unwrap();
        let mut list = answer.list();
        for item in &items {
            list.push(item).unwrap();
        }
        list.done().unwrap();
        assert!(frames.len() > 4);
        let (mut decoder, mut text, mut head) = (FrameDecoder::new(), String::new(), None);
        let last = frames.len() - 1;
        for (n, frame) in frames.iter().enumerate() {
            decoder.push(frame);
            let frame: ResponseFrame = decoder.next_frame().unwrap().unwrap();
            assert_eq!((frame.id, frame.more), (7, n != 0 && n != last));
            text += &frame.part.unwrap_or_default();
            head = head.or(frame.head);
        }
        assert_eq!(head, Some(sent));
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), items);
    }
}
