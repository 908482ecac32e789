//! Scrolling, searching and selecting in a screen's lines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use worker_agent::screen::{Screen, ScreenOptions};

fn screen(cols: u16, rows: u16) -> Screen {
    Screen::new(cols, rows, ScreenOptions { scrollback: 50 })
}

/// `line 0` … at the left of lines of their own.
fn numbered(screen: &mut Screen, numbers: std::ops::Range<u32>) {
    for n in numbers {
        screen.process(format!("line {n}\r\n").as_bytes());
    }
}

fn in_view(screen: &Screen) -> Vec<String> {
    let mut rows = vec![String::new(); usize::from(screen.size().1)];
    screen.cells(|row, _, cell| rows[usize::from(row)].push_str(cell.text));
    rows.iter().map(|row| row.trim_end().to_owned()).collect()
}

#[test]
fn a_view_that_is_scrolled_up_is_not_moved_by_output() {
    let mut screen = screen(20, 3);
    numbered(&mut screen, 0..20);
    screen.scroll(5);
    assert_eq!((screen.offset(), screen.history_len()), (5, 18));
    let before = in_view(&screen);
    assert_eq!(before, ["line 13", "line 14", "line 15"]);
    numbered(&mut screen, 20..30);
    assert_eq!(in_view(&screen), before);
    assert_eq!(screen.offset(), 15);
    screen.scroll_to_top();
    assert_eq!(in_view(&screen), ["line 0", "line 1", "line 2"]);
    screen.scroll_to_bottom();
    assert_eq!(in_view(&screen), ["line 28", "line 29", ""]);
}

#[test]
fn a_search_goes_up_from_the_view_and_around() {
    let mut screen = screen(20, 4);
    numbered(&mut screen, 0..30);
    screen.search("LINE 1");
    assert_eq!(screen.found_at(), Some((0, 0)), "upper case counts");
    screen.search("line 1");
    // 1, 10 … 19.
    assert_eq!(screen.found_at(), Some((11, 11)));
    assert!(in_view(&screen).contains(&"line 19".to_owned()));
    let (found, here) = screen.found();
    assert!(here.len() == 1 && found.contains(here.first().unwrap()));
    screen.search_next(true);
    assert_eq!(screen.found_at(), Some((10, 11)));
    screen.search_next(false);
    screen.search_next(false);
    assert_eq!(screen.found_at(), Some((1, 11)));
    assert!(in_view(&screen).contains(&"line 1".to_owned()));
    screen.search_next(true);
    assert_eq!(screen.found_at(), Some((11, 11)));
    screen.search("");
    assert_eq!((screen.found_at(), screen.found().0.len()), (None, 0));
}

#[test]
fn the_current_match_stays_while_output_comes() {
    let mut screen = screen(20, 4);
    numbered(&mut screen, 0..30);
    screen.search("line 17");
    assert_eq!(screen.found_at(), Some((1, 1)));
    let (_, here) = screen.found();
    numbered(&mut screen, 30..40);
    assert_eq!(screen.found().1, here);
    assert!(screen.search_is_stale());
    screen.process(b"line 170");
    screen.look_again();
    assert_eq!(screen.found_at(), Some((1, 2)));
    assert_eq!(screen.found().1, here);
    // At the bottom as well.
    screen.scroll_to_bottom();
    screen.search("line 170");
    screen.process(b"\r\n");
    let (found, here) = screen.found();
    assert_eq!((found.len(), here), (1, found));
}

#[test]
fn what_is_searched_is_text_and_no_pattern() {
    let mut screen = screen(30, 3);
    screen.process(b"a.b [x]* (1|2) $HOME ^up a+b \\d");
    for text in ["a.b", "[x]*", "(1|2)", "$home", "^up", "a+b", "\\d"] {
        screen.search(text);
        assert_eq!(screen.found_at(), Some((1, 1)), "{text}");
    }
    screen.search("a?b");
    assert_eq!(screen.found_at(), Some((0, 0)));
}

#[test]
fn matches_go_over_a_broken_line_and_wide_characters() {
    let mut screen = screen(10, 4);
    screen.process("12345678NEEDLE and 漢字".as_bytes());
    screen.search("needle");
    assert_eq!(screen.found_at(), Some((1, 1)));
    assert_eq!(screen.found().0, [(0, 8..10), (1, 0..4)]);
    screen.search("漢字");
    let (found, _) = screen.found();
    assert_eq!(screen.found_at(), Some((1, 1)));
    // The cell that the first of them did not fit into counts with it.
    assert_eq!(found, [(1, 9..10), (2, 0..4)]);
}

#[test]
fn a_selection_stays_on_its_text() {
    let mut screen = screen(20, 3);
    numbered(&mut screen, 0..10);
    screen.scroll(4);
    assert_eq!(in_view(&screen), ["line 4", "line 5", "line 6"]);
    screen.select(Some(((2, 0), (1, 1))));
    assert_eq!(screen.selected(), [(0, 2..20), (1, 0..2)]);
    assert_eq!(screen.copy(), "ne 4\nli");
    screen.scroll(1);
    assert_eq!(screen.selected(), [(1, 2..20), (2, 0..2)]);
    numbered(&mut screen, 10..12);
    assert_eq!(screen.copy(), "ne 4\nli");
    // Dragged on after the view has moved: the beginning stays where it was.
    screen.select(Some(((2, 0), (5, 2))));
    assert_eq!(screen.copy(), "ne 4\nline 5");
    // Upwards.
    screen.select(None);
    screen.select(Some(((3, 1), (0, 0))));
    assert_eq!(screen.copy(), "line 3\nline");
    screen.select(None);
    assert!(screen.selected().is_empty());
    assert_eq!(screen.copy(), "line 3\nline 4\nline 5");
}

#[test]
fn copied_lines_are_whole_and_without_blanks_at_their_ends() {
    let mut screen = screen(10, 6);
    screen.process("one two three four\r\nx   \r\n\r\n漢字\r\n".as_bytes());
    screen.select(Some(((0, 0), (9, 5))));
    assert_eq!(screen.copy().trim_end(), "one two three four\nx\n\n漢字");
    screen.select(None);
    assert_eq!(screen.copy(), "one two three four\nx\n\n漢字");
    screen.select(Some(((1, 5), (1, 5))));
    assert_eq!(screen.copy(), "");
}
