//! What the colours promise.

use super::*;
use ratatui::style::{Color, Modifier};

/// Backgrounds that terminals have: black, two dark greys and a dark blue grey.
const DARK: [(u8, u8, u8); 4] = [(0, 0, 0), (30, 30, 30), (40, 44, 52), (46, 52, 64)];
/// White, paper and a light grey.
const LIGHT: [(u8, u8, u8); 3] = [(255, 255, 255), (253, 246, 227), (238, 238, 238)];

/// The value of one of the colours from 16 on, as xterm has them.
fn rgb(colour: Color) -> (u8, u8, u8) {
    let Color::Indexed(n @ 16..) = colour else {
        panic!("{colour:?} looks different on every terminal");
    };
    if n >= 232 {
        let grey = 8 + 10 * (n - 232);
        return (grey, grey, grey);
    }
    let n = n - 16;
    let level = |part: u8| if part == 0 { 0 } else { 55 + 40 * part };
    (level(n / 36), level(n / 6 % 6), level(n % 6))
}

/// Relative luminance (WCAG 2.2).
fn luminance((r, g, b): (u8, u8, u8)) -> f64 {
    let part = |value: u8| {
        let c = f64::from(value) / 255.0;
        match c <= 0.04045 {
            true => c / 12.92,
            false => ((c + 0.055) / 1.055).powf(2.4),
        }
    };
    0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b)
}

fn contrast(a: (u8, u8, u8), b: (u8, u8, u8)) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn theme(scheme: Scheme) -> Theme {
    Theme {
        scheme,
        unicode: true,
    }
}

#[test]
fn text_can_be_read_on_every_background_and_on_the_selected_row() {
    for (scheme, backgrounds) in [(Scheme::Dark, &DARK[..]), (Scheme::Light, &LIGHT)] {
        let theme = theme(scheme);
        let selected = rgb(theme.style(Role::Selected).bg.unwrap());
        for role in Role::ALL {
            let style = theme.style(role);
            assert!(!style.add_modifier.contains(Modifier::DIM), "{role:?}");
            let Some(fg) = style.fg.map(rgb) else {
                continue;
            };
            let mut behind = match style.bg {
                Some(own) => vec![rgb(own)],
                None => backgrounds.to_vec(),
            };
            // Lines are no text and not in the row.
            let least = if role == Role::Border { 3.0 } else { 4.5 };
            if role != Role::Border && style.bg.is_none() {
                behind.push(selected);
            }
            for background in behind {
                let found = contrast(fg, background);
                assert!(
                    found >= least,
                    "{scheme:?} {role:?} on {background:?}: {found:.2}"
                );
            }
        }
    }
}

#[test]
fn high_contrast_is_seven_to_one_wherever_there_is_a_colour() {
    for role in Role::ALL {
        let style = theme(Scheme::HighContrast).style(role);
        assert!(!style.add_modifier.contains(Modifier::DIM), "{role:?}");
        assert_eq!(style.fg.is_some(), style.bg.is_some(), "{role:?}");
        if let (Some(fg), Some(bg)) = (style.fg, style.bg) {
            let found = contrast(rgb(fg), rgb(bg));
            assert!(found >= 7.0, "{role:?}: {found:.2}");
        }
    }
}

#[test]
fn contrast_is_computed_as_wcag_does() {
    assert!((contrast((0, 0, 0), (255, 255, 255)) - 21.0).abs() < 0.01);
    assert!((contrast((119, 119, 119), (255, 255, 255)) - 4.48).abs() < 0.01);
}

#[test]
fn without_colour_no_role_has_one_and_states_are_still_apart_from_text() {
    for role in Role::ALL {
        let style = theme(Scheme::None).style(role);
        assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
    }
}

#[test]
fn sixteen_colours_are_the_terminals_own() {
    for role in Role::ALL {
        let style = theme(Scheme::Sixteen).style(role);
        for colour in [style.fg, style.bg].into_iter().flatten() {
            assert!(
                !matches!(colour, Color::Indexed(_) | Color::Rgb(..)),
                "{role:?}"
            );
        }
    }
}

#[test]
fn the_key_goes_through_all_themes_and_comes_back() {
    let mut theme = Theme::default();
    let words: Vec<&str> = Scheme::ALL
        .iter()
        .map(|_| {
            theme = theme.next();
            theme.word()
        })
        .collect();
    assert_eq!(words, ["high-contrast", "none", "dark", "light", "16"]);
}

#[test]
fn auto_looks_at_the_terminal() {
    let chosen = |choice, insist, vars: &[(&str, &str)]| {
        let env = |name: &str| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Theme::new(choice, insist, &env).scheme
    };
    let auto = |vars: &[(&str, &str)]| chosen(ThemeChoice::Auto, false, vars);
    assert_eq!(auto(&[]), Scheme::Sixteen);
    assert_eq!(auto(&[("TERM", "xterm")]), Scheme::Sixteen);
    assert_eq!(auto(&[("TERM", "xterm-256color")]), Scheme::Dark);
    assert_eq!(auto(&[("COLORTERM", "truecolor")]), Scheme::Dark);
    let many = ("TERM", "tmux-256color");
    assert_eq!(auto(&[many, ("COLORFGBG", "0;15")]), Scheme::Light);
    assert_eq!(auto(&[many, ("COLORFGBG", "0;default;15")]), Scheme::Light);
    assert_eq!(auto(&[many, ("COLORFGBG", "15;0")]), Scheme::Dark);
    assert_eq!(auto(&[many, ("COLORFGBG", "x")]), Scheme::Dark);
    assert_eq!(auto(&[many, ("NO_COLOR", "1")]), Scheme::None);
    assert_eq!(auto(&[many, ("NO_COLOR", "")]), Scheme::Dark);
    assert_eq!(
        auto(&[("TERM", "dumb"), ("COLORTERM", "truecolor")]),
        Scheme::None
    );

    let no_colour = [("NO_COLOR", "1")];
    assert_eq!(chosen(ThemeChoice::Light, false, &no_colour), Scheme::None);
    assert_eq!(chosen(ThemeChoice::Light, true, &no_colour), Scheme::Light);
    assert_eq!(chosen(ThemeChoice::Auto, true, &no_colour), Scheme::None);
    assert_eq!(chosen(ThemeChoice::Light, false, &[]), Scheme::Light);
}

#[test]
fn a_locale_without_utf8_gets_ascii() {
    let unicode = |locale: &str| {
        let env = |name: &str| (name == "LANG").then(|| locale.to_owned());
        Theme::new(ThemeChoice::Auto, false, &env).unicode
    };
    assert!(unicode("C.UTF-8") && unicode("") && unicode("C"));
    assert!(!unicode("de_DE.ISO-8859-1"));
}
