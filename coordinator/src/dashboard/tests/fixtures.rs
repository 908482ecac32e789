//! A coordinator's state to show.

use crate::wire::*;
use crate::{
    dashboard::{
        app::{
            effect::Effect,
            message::{LiveBody, LiveMsg, Msg},
            settings::Settings,
            state::AppState,
            update::update,
        },
        view::draw,
    },
    model::{HostPath, Isolation, WorkerState},
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use podbay_protocol::{Activity, ActivityState, Readings, Size};
use ratatui::{Terminal, backend::TestBackend};

/// 14:03:05 UTC on some day.
pub const NOW: u64 = 1_767_276_185_000;
const MINUTE: u64 = 60_000;

pub fn status() -> Status {
    Status {
        version: Version {
            version: "0.1.0".into(),
            api: 1,
        },
        instance: "podbay-parent".into(),
        parent: Some("4f5e6d7c8b9a".into()),
        binary: String::new(),
        uptime_ms: 3_600_000,
        engine: EngineView {
            endpoint: "/var/run/docker.sock".into(),
            name: "Docker".into(),
            version: "20.10.24".into(),
            api: "1.41".into(),
            reachable: true,
            error: None,
        },
        guard: GuardView::default(),
        hot_mounts: HotMounts {
            available: true,
            idmapped: true,
            reason: None,
        },
        pools: vec![pool()],
        workers: [].into(),
        warnings: vec![],
    }
}

pub fn pool() -> PoolView {
    PoolView {
        profile: "claude".into(),
        image: "podbay/worker:claude".into(),
        min_warm: 2,
        max_warm: 5,
        target: 3,
        warm: 3,
        creating: 0,
        claimed: 4,
        queued: 0,
        paused: false,
        draining: false,
        hits: 57,
        misses: 3,
        claim_p50_us: Some(1_930),
        claim_p99_us: Some(4_100),
        recent_claims_us: Vec::new(),
        last_failure: None,
    }
}

pub fn worker(
    n: u64,
    name: &str,
    state: WorkerState,
    activity: Option<ActivityState>,
) -> WorkerView {
    let claimed = !matches!(state, WorkerState::Warm | WorkerState::Creating);
    WorkerView {
        id: format!("{n:012x}"),
        name: name.into(),
        profile: "claude".into(),
        state,
        created_ms: NOW - (n + 3) * MINUTE,
        claimed_ms: claimed.then(|| NOW - (n + 1) * 7 * MINUTE),
        container: Some("c0ffee".into()),
        image: "podbay/worker:claude".into(),
        project: claimed.then(|| HostPath::new("/home/me/shop")),
        isolation: if claimed {
            Isolation::Overlay
        } else {
            Isolation::None
        },
        warm_start: true,
        argv: if claimed {
            vec!["claude".into()]
        } else {
            vec![]
        },
        session: claimed.then(|| "s1".into()),
        pid: claimed.then_some(12),
        uid: claimed.then_some(20_001),
        activity: activity.map(|state| Activity {
            state,
            why: match state {
                ActivityState::Working => "hook PreToolUse: Bash",
                ActivityState::Waiting => "permission to run cargo test",
                ActivityState::Done => "hook Stop",
                ActivityState::Error => "hook StopFailure: rate limit",
                ActivityState::Idle => "seen",
                ActivityState::Stopped => "stopped by SIGSTOP",
                ActivityState::Unknown => "",
            }
            .into(),
            seq: n,
            since_ms: NOW - n * MINUTE,
        }),
        size: claimed.then(Size::default),
        clients: u32::from(n == 2),
        readings: Readings {
            memory_bytes: Some((110 + n * 37) << 20),
            memory_limit_bytes: Some(4 << 30),
            cpu_us: Some(n * 1_000_000),
            pids: Some(9),
            pids_refused: Some(0),
            oom_kills: Some(0),
        },
        unapplied: n % 4 == 1,
        remove: true,
        ..WorkerView::default()
    }
}

/// `count` workers in every state.
pub fn workers(count: u64) -> Vec<WorkerView> {
    use ActivityState as A;
    use WorkerState as S;
    let kinds = [
        ("fix-login", S::Running, Some(A::Working)),
        ("add-search", S::Running, Some(A::Waiting)),
        ("docs", S::Running, Some(A::Done)),
        ("refactor-db", S::Running, Some(A::Idle)),
        ("flaky-test", S::Running, Some(A::Error)),
        ("warm", S::Warm, None),
        ("upgrade", S::Exited, None),
        ("shell", S::Running, None),
        ("lost-one", S::Lost, None),
        ("new", S::Creating, None),
    ];
    (0..count)
        .zip(kinds.into_iter().cycle())
        .map(|(n, (name, state, activity))| {
            let name = if n < 10 {
                name.to_owned()
            } else {
                format!("{name}-{n}")
            };
            let mut view = worker(n, &name, state, activity);
            if state == S::Exited {
                view.exit = Some(podbay_protocol::ExitStatus::Code(0));
                view.ended_ms = Some(NOW - 2 * MINUTE);
            }
            if state == S::Lost {
                view.why = Some("its agent has not called for 10s".into());
            }
            view
        })
        .collect()
}

pub fn event(body: EventBody) -> Msg {
    Msg::Api(Box::new(ApiEvent {
        seq: 0,
        at_ms: NOW,
        body,
    }))
}

pub fn hello(workers: Vec<WorkerView>) -> Msg {
    event(EventBody::Hello {
        status: Box::new(status()),
        workers,
    })
}

pub fn state(cols: u16, rows: u16) -> AppState {
    AppState::new(Settings::default(), Size { cols, rows }, NOW)
}

pub fn state_with(cols: u16, rows: u16, workers: Vec<WorkerView>) -> AppState {
    let mut state = state(cols, rows);
    update(&mut state, hello(workers));
    state
}

pub fn key(c: char) -> Msg {
    Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))
}

pub fn code(code: KeyCode) -> Msg {
    Msg::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

pub fn press(state: &mut AppState, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|c| update(state, key(c))).collect()
}

/// The screen as text.
pub fn screen(state: &AppState) -> String {
    let mut terminal = Terminal::new(TestBackend::new(state.size.cols, state.size.rows)).unwrap();
    terminal
        .draw(|frame| {
            draw::draw(state, frame.buffer_mut());
        })
        .unwrap();
    terminal.backend().to_string()
}

pub fn id(n: u64) -> String {
    format!("{n:012x}")
}

pub fn live(state: &mut AppState, worker: &str, body: LiveBody) -> Vec<Effect> {
    let worker = worker.to_owned();
    update(state, Msg::Live(LiveMsg { worker, body }))
}
