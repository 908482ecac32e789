//! HTTP, WebSocket and event types of the API, version 1; `API.md` in this folder has the routes.
//! Owns the serialised names. Never has behaviour; unknown fields are ignored by both sides.

mod attach;
mod audit;
mod changes;
mod error;
mod event;
mod folder;
pub mod percent;
mod pool;
mod spawn;
mod status;
mod worker;

pub use attach::{
    AttachQuery, ClientMessage, FlowQuery, INPUT_WINDOW, INPUT_WINDOW_PARAM, SESSION_HEADER,
    SESSION_PIPES, SESSION_TERMINAL, STDERR_CHANNEL, STDOUT_CHANNEL, ServerMessage,
};
pub use audit::{AuditEntry, AuditQuery, Who};
pub use changes::{
    AnyChanges, ApplyRequest, ApplyResult, CHANGED_SINCE_CLAIM, Change, ChangeCount, ChangeKind,
    ChangeSummary, Changes, Conflict, DiscardRequest, EntryType, FileDiff, FolderChanges,
    GIT_CHANGED_SINCE_CLAIM, PROJECT_MISSING, TRUNCATED,
};
pub use error::{ApiError, ErrorKind};
pub use event::{ApiEvent, EventBody};
pub use folder::{Folder, Folders, RecentProjects};
pub use pool::{PoolFailure, PoolView, ScaleRequest};
pub use spawn::{
    ExecRequest, ExecResponse, LimitsRequest, SpawnRequest, SpawnResponse, Timings, WhenEmpty,
};
pub use status::{
    EngineView, GuardView, HOT_MOUNTS_OFF, HotMounts, Status, UpgradeRequest, UpgradeView, Version,
};
pub use worker::{
    EgressDenied, ListeningPort, LogsQuery, Refreshed, RenameRequest, ScreenView, StopRequest,
    WorkerView,
};

/// The API's version, as in the `/v1` prefix.
pub const API_VERSION: u32 = 1;
