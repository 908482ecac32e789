//! No order of messages panics, loses the selection, or asks for what cannot be.

use super::fixtures::*;
use crate::{
    dashboard::{
        app::{
            effect::Effect,
            message::{LiveBody, LiveMsg, Msg},
            settings::Settings,
            state::AppState,
            update::update,
        },
        io::terminal::painter::Painter,
        pages::terminal::{grid::Grid, picture::Picture},
    },
    model::WorkerState,
    wire::EventBody,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use podbay_protocol::{ActivityState, Size};
use proptest::prelude::*;
use std::sync::Arc;

fn a_worker() -> impl Strategy<Value = crate::wire::WorkerView> {
    use WorkerState as S;
    let states = prop::sample::select(vec![
        S::Creating,
        S::Warm,
        S::Claiming,
        S::Running,
        S::Exited,
        S::Stopping,
        S::Lost,
        S::Failed,
    ]);
    let activity = prop::option::of(prop::sample::select(vec![
        ActivityState::Working,
        ActivityState::Waiting,
        ActivityState::Done,
        ActivityState::Unknown,
    ]));
    (0u64..8, "\\PC{0,12}|.{0,6}", states, activity, any::<u64>()).prop_map(
        |(n, name, state, activity, cpu)| {
            let mut view = worker(n, &name, state, activity);
            view.readings.cpu_us = Some(cpu);
            view
        },
    )
}

fn a_key() -> impl Strategy<Value = KeyEvent> {
    use KeyCode as K;
    let codes = prop_oneof![
        4 => prop::sample::select("jkgGnwxDsSt?/qyYhl urReaXzT,[:vf*o+-pmd1234".chars().map(K::Char).collect::<Vec<_>>()),
        2 => prop::sample::select(vec![
            K::Enter, K::Esc, K::Up, K::Down, K::PageUp, K::PageDown, K::Home, K::End, K::Left,
            K::Right, K::Tab, K::BackTab, K::Backspace, K::Delete, K::F(1),
        ]),
        1 => any::<char>().prop_map(K::Char),
    ];
    let modifiers = prop::sample::select(vec![
        KeyModifiers::NONE,
        KeyModifiers::NONE,
        KeyModifiers::NONE,
        KeyModifiers::SHIFT,
        KeyModifiers::CONTROL,
        KeyModifiers::ALT,
    ]);
    (codes, modifiers).prop_map(|(code, modifiers)| KeyEvent::new(code, modifiers))
}

fn a_mouse() -> impl Strategy<Value = MouseEvent> {
    use MouseEventKind as M;
    let left = MouseButton::Left;
    let kinds = prop::sample::select(vec![
        M::Down(left),
        M::Up(left),
        M::Drag(left),
        M::Moved,
        M::ScrollUp,
        M::ScrollDown,
        M::Down(MouseButton::Right),
    ]);
    (kinds, 0u16..210, 0u16..70).prop_map(|(kind, column, row)| MouseEvent {
        kind,
        column,
        row,
        modifiers: KeyModifiers::NONE,
    })
}

fn live(n: u64, body: LiveBody) -> Msg {
    let worker = format!("{n:012x}");
    Msg::Live(LiveMsg { worker, body })
}

fn a_msg() -> impl Strategy<Value = Msg> {
    prop_oneof![
        10 => a_key().prop_map(Msg::Key),
        1 => ".{0,20}".prop_map(Msg::Paste),
        1 => Just(Msg::Leave),
        1 => any::<bool>().prop_map(Msg::Focus),
        3 => a_mouse().prop_map(Msg::Mouse),
        1 => (0u64..8, any::<bool>()).prop_map(|(n, writer)| live(n, LiveBody::Attached { writer })),
        1 => (0u64..8, 0u16..120, 0u16..50).prop_map(|(n, cols, rows)| live(n, LiveBody::Screen(
            Arc::new(Picture { grid: Grid::new(cols, rows), ..Picture::default() }),
        ))),
        1 => (0u16..200, 0u16..60).prop_map(|(cols, rows)| Msg::Resize(Size { cols, rows })),
        1 => prop::collection::vec(a_worker(), 0..8).prop_map(hello),
        4 => a_worker().prop_map(|w| event(EventBody::Worker { worker: Box::new(w) })),
        2 => (0u64..8).prop_map(|n| {
            event(EventBody::Removed { id: format!("{n:012x}"), name: String::new() })
        }),
        1 => Just(Msg::Gone { reason: "gone".into() }),
        1 => any::<u64>().prop_map(Msg::Now),
    ]
}

proptest! {
    #![proptest_config(crate::seeds::cases(128))]

    #[test]
    fn any_messages_in_any_order(msgs in prop::collection::vec(a_msg(), 0..60)) {
        let mut state = AppState::new(Settings::default(), Size { cols: 80, rows: 24 }, NOW);
        let mut painter = Painter::new();
        for msg in msgs {
            let effects = update(&mut state, msg);
            match &state.selected {
                Some(id) => prop_assert!(state.rows.contains(id)),
                None => prop_assert!(state.rows.is_empty()),
            }
            for effect in effects {
                match effect {
                    Effect::Fullscreen { id, .. } => {
                        prop_assert!(state.is_live());
                        prop_assert!(state.workers.contains_key(&id));
                    }
                    Effect::Watch(targets) => {
                        prop_assert!(targets.len() <= 10, "{}", targets.len());
                        let written = targets.iter().filter(|t| t.write.is_some());
                        prop_assert!(written.count() <= 1);
                        for target in targets {
                            let worker = state.workers.get(&target.id);
                            prop_assert!(worker.is_some_and(|w| state.can_be_live(w)));
                            let typed = state.typing.as_ref() == Some(&target.id);
                            prop_assert_eq!(target.write.is_some(), typed);
                        }
                    }
                    Effect::Call { .. } => prop_assert!(state.is_live()),
                    _ => {}
                }
            }
            if let Some(area) = state.typing_area() {
                let whole = ratatui::layout::Rect::new(0, 0, state.size.cols, state.size.rows);
                prop_assert_eq!(area.intersection(whole), area);
                let typed = state.typing_worker();
                prop_assert!(area.area() > 0 && typed.is_some_and(|w| state.can_be_live(w)));
            }
            painter.frame(&state).unwrap();
            prop_assert!(painter.frame(&state).unwrap().is_empty(), "a frame without a change");
        }
    }
}
