//! What becomes of a call: mostly nothing goes wrong.

use super::{
    dice::{AgentFate, Fate},
    state::Inner,
};
use std::time::Duration;

impl Inner {
    fn fault(&mut self, kind: &str) {
        self.faults += 1;
        self.step(kind, "");
    }

    /// `None`: the coordinator dies first. What is called often fails seldom.
    pub(super) fn fate(&mut self, what: &str, often: bool) -> (Option<Fate>, Duration) {
        if self.calm {
            return (Some(Fate::Go), Duration::ZERO);
        }
        let rates: [u64; 5] = if often {
            [20, 3, 0, 0, 0]
        } else {
            [150, 20, 14, 4, 5]
        };
        let roll = self.dice.below(1000);
        let [slow, fail, lost, before, after] = rates;
        let mut edge = slow;
        if roll < edge {
            return (Some(Fate::Go), self.dice.delay());
        }
        let kinds = [
            (fail, "fail", Some(Fate::Fail)),
            (lost, "lost", Some(Fate::Lost)),
            (before, "crash before", None),
            (after, "crash after", Some(Fate::Crash)),
        ];
        for (rate, name, fate) in kinds {
            edge += rate;
            if roll < edge {
                self.fault(&format!("fate {what} {name}"));
                let slow = self.dice.chance(300);
                let pause = if slow {
                    self.dice.delay()
                } else {
                    Duration::ZERO
                };
                return (fate, pause);
            }
        }
        (Some(Fate::Go), Duration::ZERO)
    }

    /// What becomes of a request to an agent.
    pub fn agent_fate(&mut self, op: &str) -> AgentFate {
        if self.calm {
            return AgentFate::Go;
        }
        let often = matches!(op, "readings" | "ping");
        if op == "describe" && self.dice.chance(20) {
            self.fault("agent describe very late");
            return AgentFate::Late(self.dice.millis(5_000, 30_000));
        }
        let roll = self.dice.below(if often { 20_000 } else { 1000 });
        let (name, fate) = match roll {
            0..8 => ("drop before", AgentFate::DropBefore),
            8..16 => ("drop after", AgentFate::DropAfter),
            16..30 => ("late", AgentFate::Late(self.dice.delay())),
            30..44 => ("answered late", AgentFate::AnsweredLate(self.dice.delay())),
            44..48 => ("refused", AgentFate::Refuse),
            48..53 => ("crash after", AgentFate::CrashAfter),
            _ => return AgentFate::Go,
        };
        let refusable = matches!(op, "start" | "start_with_secrets" | "attach" | "restart");
        if fate == AgentFate::Refuse && !refusable {
            return AgentFate::Go;
        }
        self.fault(&format!("agent {op} {name}"));
        fate
    }
}
