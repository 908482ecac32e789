//! What messages are called, for errors that must not show what is in them.

use crate::message::{Reply, ToAgentBody};

impl ToAgentBody {
    /// The names of all operations, as a frame's `op` has them.
    pub const OPERATIONS: [&str; 19] = [
        "ping",
        "describe",
        "start",
        "start_with_secrets",
        "attach",
        "hand",
        "resize",
        "takeover",
        "signal",
        "detach",
        "stop",
        "restart",
        "origin",
        "carry",
        "input",
        "screen",
        "seen",
        "readings",
        "shutdown",
    ];

    /// The operation, as it is named on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Describe => "describe",
            Self::Start(_) => "start",
            Self::StartWithSecrets(_) => "start_with_secrets",
            Self::Attach(_) => "attach",
            Self::Hand { .. } => "hand",
            Self::Resize { .. } => "resize",
            Self::Takeover { .. } => "takeover",
            Self::Signal { .. } => "signal",
            Self::Detach { .. } => "detach",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Origin { .. } => "origin",
            Self::UpdateClaim { .. } => "carry",
            Self::Input { .. } => "input",
            Self::Screen { .. } => "screen",
            Self::Seen { .. } => "seen",
            Self::Readings => "readings",
            Self::Shutdown { .. } => "shutdown",
        }
    }
}

impl Reply {
    /// Which answer it is; without what is in it, which may be an environment.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Started { .. } => "started",
            Self::Attached { .. } => "attached",
            Self::Described(_) => "described",
            Self::Screen { .. } => "screen",
            Self::Readings(_) => "readings",
            Self::Origin(_) => "origin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_named() {
        for op in ToAgentBody::OPERATIONS {
            let error = serde_json::from_value::<ToAgentBody>(serde_json::json!({ "op": op }));
            let known = error.map_or_else(|error| !error.to_string().contains("variant"), |_| true);
            assert!(known, "{op}");
        }
        let unknown =
            serde_json::from_value::<ToAgentBody>(serde_json::json!({ "op": "levitate" }))
                .unwrap_err()
                .to_string();
        let (_, all) = unknown.split_once("expected one of ").unwrap();
        assert_eq!(
            all.split(", ").count(),
            ToAgentBody::OPERATIONS.len(),
            "{all}"
        );
    }

    #[test]
    fn what_a_newer_side_calls_otherwise_is_taken_for_the_least_that_is_known() {
        use crate::{Activity, ActivityState, AgentError, ErrorCode};
        let activity = serde_json::json!({
            "state": "pondering", "why": "deep thought", "seq": 1, "since_ms": 2, "mood": "calm"
        });
        let activity: Activity = serde_json::from_value(activity).unwrap();
        assert_eq!(activity.state, ActivityState::Unknown);
        let error = serde_json::json!({ "code": "tired", "message": "it sleeps" });
        let error: AgentError = serde_json::from_value(error).unwrap();
        assert_eq!(
            (error.code, &*error.message),
            (ErrorCode::System, "it sleeps")
        );
        // What is known is called as it was.
        for state in [ActivityState::Unknown, ActivityState::Idle] {
            let wire = serde_json::to_value(state).unwrap();
            assert_eq!(
                serde_json::from_value::<ActivityState>(wire).unwrap(),
                state
            );
        }
    }

    #[test]
    fn an_operation_is_called_what_it_is_on_the_wire() {
        let session = || "s".to_owned();
        for body in [
            ToAgentBody::Ping,
            ToAgentBody::Origin { session: session() },
            ToAgentBody::UpdateClaim {
                session: session(),
                claim: serde_json::Value::Null,
            },
            ToAgentBody::Restart {
                session: session(),
                next: session(),
                grace_ms: 1,
                claim: serde_json::Value::Null,
            },
        ] {
            let wire = serde_json::to_value(&body).unwrap();
            assert_eq!(wire["op"], body.name());
        }
    }
}
