//! What messages are called, for errors that must not show what is in them.

use crate::{Reply, ToAgentBody};

impl ToAgentBody {
    /// The operation, as it is named on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Describe => "describe",
            Self::Start(_) => "start",
            Self::StartWithSecrets(_) => "start_with_secrets",
            Self::Attach(_) => "attach",
            Self::Resize { .. } => "resize",
            Self::Takeover { .. } => "takeover",
            Self::Signal { .. } => "signal",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Origin { .. } => "origin",
            Self::Carry { .. } => "carry",
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
    fn an_operation_is_called_what_it_is_on_the_wire() {
        let session = || "s".to_owned();
        for body in [
            ToAgentBody::Ping,
            ToAgentBody::Origin { session: session() },
            ToAgentBody::Carry {
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
