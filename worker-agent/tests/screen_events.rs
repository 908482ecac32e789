//! What a screen reports and shows, and how it copes with hostile input.

mod streams;

use streams::screen_of;
use worker_agent::screen::{
    Color, CursorShape, Modes, Mouse, Screen, ScreenEvent, ScreenOptions, Underline,
};

fn events(bytes: &[u8]) -> Vec<ScreenEvent> {
    let whole = screen_of((20, 5)).process(bytes);
    let mut screen = screen_of((20, 5));
    let bytewise: Vec<ScreenEvent> = bytes
        .iter()
        .flat_map(|byte| screen.process(std::slice::from_ref(byte)))
        .collect();
    assert_eq!(whole, bytewise, "chunks must not matter");
    whole
}

fn note(text: &str) -> ScreenEvent {
    ScreenEvent::Notification(text.to_owned())
}

#[test]
fn notifications_of_all_three_dialects_are_reported() {
    assert_eq!(events(b"\x1b]9;it is done\x07"), [note("it is done")]);
    assert_eq!(events(b"\x1b]9;it is done\x1b\\"), [note("it is done")]);
    assert_eq!(
        events(b"\x1b]777;notify;Title;Body; more\x07"),
        [note("Title: Body; more")]
    );
    assert_eq!(events(b"\x1b]99;i=1:d=0;Hello\x1b\\"), [note("Hello")]);
    assert_eq!(events(b"\x1b]99;i=1:e=1;SGVsbG8=\x1b\\"), [note("Hello")]);
    assert_eq!(
        events(b"\x1b]99;i=1:p=close;\x1b\\\x1b]777;other;x\x07\x1b]9;1;9\x07"),
        []
    );
    assert_eq!(events("\x1b]9;a\u{9b}b\x01c\x07".as_bytes()), [note("abc")]);
}

#[test]
fn progress_is_not_a_notification() {
    assert_eq!(events(b"\x1b]9;4;1;50\x07"), [ScreenEvent::Progress(1)]);
    assert_eq!(events(b"\x1b]9;4;0\x1b\\"), [ScreenEvent::Progress(0)]);
}

#[test]
fn title_bell_and_replies_are_reported() {
    assert_eq!(
        events("\x1b]2;tïtle; x\x07".as_bytes()),
        [ScreenEvent::Title("tïtle; x".into())]
    );
    assert_eq!(
        screen_of((9, 2)).process(b"\x07\x07\x07"),
        [ScreenEvent::Bell]
    );
    let reply = |bytes: &[u8]| match events(bytes).as_slice() {
        [ScreenEvent::Reply(reply)] => String::from_utf8(reply.clone()).expect("ASCII"),
        other => unreachable!("{other:?}"),
    };
    assert_eq!(reply(b"\x1b[2;3H\x1b[6n"), "\x1b[2;3R");
    assert_eq!(reply(b"\x1b[c"), "\x1b[?6c");
    assert_eq!(reply(b"\x1b[>5u\x1b[?u"), "\x1b[?5u");
    assert_eq!(reply(b"\x1b]11;?\x07"), "\x1b]11;rgb:0000/0000/0000\x07");
    assert_eq!(
        reply(b"\x1b]4;196;?\x1b\\"),
        "\x1b]4;196;rgb:ffff/0000/0000\x1b\\"
    );
}

#[test]
fn synchronized_output_is_never_held_back() {
    let mut screen = screen_of((20, 2));
    screen.process(b"\x1b[?2026hshown at once");
    assert_eq!(screen.text(), ["shown at once", ""]);
    let mut fresh = screen_of((20, 2));
    fresh.process(&screen.restore());
    assert_eq!(fresh.text(), screen.text());
}

#[test]
fn a_preview_sees_cells_cursor_and_modes() {
    let mut screen = screen_of((10, 2));
    screen.process("\x1b[1;4:3;38;5;9;48;2;1;2;3m漢\u{301}\x1b[0mz\x1b[3 q".as_bytes());
    screen.process(b"\x1b[?1h\x1b[?2004h\x1b[?1002h\x1b[?1006h\x1b[?1004h\x1b[>3u");
    let mut seen = Vec::new();
    screen.cells(|row, col, cell| {
        if !cell.text.trim().is_empty() || cell.wide {
            seen.push((
                row,
                col,
                cell.text.to_owned(),
                cell.fg,
                cell.bg,
                cell.attrs,
                cell.wide,
            ));
        }
        assert!(col != 1 || row != 0 || cell.text.is_empty());
    });
    let [
        (0, 0, text, fg, bg, attrs, true),
        (0, 2, plain, Color::Default, Color::Default, _, false),
    ] = seen.as_slice()
    else {
        unreachable!("{seen:?}")
    };
    assert_eq!((text.as_str(), plain.as_str()), ("漢\u{301}", "z"));
    assert_eq!((*fg, *bg), (Color::Indexed(9), Color::Rgb(1, 2, 3)));
    assert!(attrs.bold && attrs.underline == Underline::Curly);
    assert_eq!(screen.cursor(), Some((0, 3)));
    let expected = Modes {
        app_cursor: true,
        bracketed_paste: true,
        mouse: Mouse::Drag,
        sgr_mouse: true,
        focus_events: true,
        cursor_shape: CursorShape::Underline,
        cursor_blink: true,
        kitty_flags: 3,
        ..Modes::default()
    };
    assert_eq!(screen.modes(), expected);
}

#[test]
fn scrolling_shows_history_and_keeps_the_live_text() {
    let mut screen = screen_of((10, 2));
    screen.process(b"one\r\ntwo\r\nthree\r\nfour");
    assert_eq!(screen.history_len(), 2);
    screen.scroll(1);
    let mut first = String::new();
    screen.cells(|row, _, cell| first.extend((row == 0).then_some(cell.text)));
    assert_eq!(first.trim(), "two");
    assert_eq!(screen.text(), ["three", "four"]);
    assert_eq!(screen.cursor(), None);
    screen.scroll_to_bottom();
    assert_eq!(screen.cursor(), Some((1, 4)));
}

#[test]
fn sizes_are_brought_into_range() {
    let mut screen = Screen::new(0, 0, ScreenOptions::default());
    assert_eq!(screen.size(), (2, 1));
    screen.resize(u16::MAX, u16::MAX);
    assert_eq!(screen.size(), (1000, 500));
}

#[test]
fn endless_sequences_stay_bounded() {
    for opener in ["\x1b[", "\x1b]2;", "\x1bPq", "\x1b_G", "\x1b "] {
        let mut screen = screen_of((20, 2));
        screen.process(b"before ");
        screen.process(opener.as_bytes());
        for _ in 0..100 {
            screen.process(&[b' '; 10_000]);
        }
        let blob = screen.restore();
        assert!(blob.len() < 70_000, "{}", blob.len());
        let mut fresh = screen_of((20, 2));
        fresh.process(&blob);
        for screen in [&mut screen, &mut fresh] {
            screen.process(b"\x1b\\after");
            assert_eq!(screen.text(), ["before after", ""]);
        }
    }
    let mut screen = screen_of((20, 2));
    screen.process("e".as_bytes());
    screen.process("\u{301}".repeat(100_000).as_bytes());
    assert!(screen.restore().len() < 200);
}
