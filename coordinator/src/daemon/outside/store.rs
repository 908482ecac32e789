//! Records of workers and finished sessions, and the parts that are installed.

use crate::{
    fleet::Held,
    model::WorkerId,
    mounter_client::MountFacts,
    store::{ClaimRecord, FinishedRecord, StateDir},
};
use std::{fmt::Debug, io, path::Path};

/// File names of installed binaries under `bin/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) struct Installed {
    /// The agent's.
    pub agent: String,
    /// This binary's.
    pub podbay: String,
}

/// Blocking calls: those that write go through [`blocking`](crate::daemon::blocking).
pub(in crate::daemon) trait Store: Debug + Send + Sync {
    /// Installs the agent, this binary and the files of the shared network.
    fn install(&self, agent: &Path) -> io::Result<Installed>;
    /// Removes what was being written when a coordinator died.
    fn sweep(&self) -> io::Result<()>;
    /// Every worker that has a folder.
    fn workers(&self) -> io::Result<Vec<WorkerId>>;
    /// The uid of each worker that has a folder, as far as the folder says.
    fn worker_uids(&self) -> io::Result<Vec<(WorkerId, u32)>>;
    /// The uid of one.
    fn own_uid(&self, worker: &WorkerId) -> Option<u32>;
    /// Makes a new worker's folder with its agent's token; `home` is open to every uid on demand.
    fn create(&self, worker: &WorkerId, token: &str, open_home: bool) -> io::Result<()>;
    /// Gives a worker's folder another token.
    fn renew(&self, worker: &WorkerId, token: &str) -> io::Result<()>;
    /// Removes what can be removed without the mounter.
    fn remove(&self, worker: &WorkerId) -> io::Result<()>;
    /// The token of a worker's agent.
    fn token(&self, worker: &WorkerId) -> Option<String>;
    /// The account files of a worker with a read-only root.
    fn write_accounts(&self, worker: &WorkerId, passwd: &[u8], group: &[u8]) -> io::Result<()>;
    /// The claim's record.
    fn claim(&self, worker: &WorkerId) -> Option<ClaimRecord>;
    /// Writes the claim's record.
    fn write_claim(&self, record: &ClaimRecord) -> io::Result<()>;
    /// What the mounter noted of the claim.
    fn mount_facts(&self, worker: &WorkerId) -> Option<MountFacts>;
    /// Why a worker is paused by the coordinator.
    fn hold(&self, worker: &WorkerId) -> Option<Held>;
    /// Notes why a worker is paused.
    fn write_hold(&self, worker: &WorkerId, held: &Held) -> io::Result<()>;
    /// Forgets why a worker was paused.
    fn remove_hold(&self, worker: &WorkerId) -> io::Result<()>;
    /// All finished sessions.
    fn finished(&self) -> io::Result<Vec<FinishedRecord>>;
    /// Writes a finished session.
    fn write_finished(&self, record: &FinishedRecord) -> io::Result<()>;
    /// Forgets a finished session.
    fn remove_finished(&self, worker: &WorkerId) -> io::Result<()>;
}

impl Store for StateDir {
    fn install(&self, agent: &Path) -> io::Result<Installed> {
        self.write_net_files()?;
        let own = std::env::current_exe()?;
        Ok(Installed {
            agent: self.install_agent(agent)?,
            podbay: self.install_binary("podbay", &own)?,
        })
    }

    fn sweep(&self) -> io::Result<()> {
        StateDir::sweep(self)
    }

    fn workers(&self) -> io::Result<Vec<WorkerId>> {
        StateDir::workers(self)
    }

    fn worker_uids(&self) -> io::Result<Vec<(WorkerId, u32)>> {
        StateDir::worker_uids(self)
    }

    fn own_uid(&self, worker: &WorkerId) -> Option<u32> {
        self.worker(worker).own_uid()
    }

    fn create(&self, worker: &WorkerId, token: &str, open_home: bool) -> io::Result<()> {
        let folder = self.worker(worker);
        folder.create(token)?;
        if open_home {
            folder.open_home()
        } else {
            Ok(())
        }
    }

    fn renew(&self, worker: &WorkerId, token: &str) -> io::Result<()> {
        self.worker(worker).renew(token)
    }

    fn remove(&self, worker: &WorkerId) -> io::Result<()> {
        self.worker(worker).remove()
    }

    fn token(&self, worker: &WorkerId) -> Option<String> {
        self.worker(worker).token()
    }

    fn write_accounts(&self, worker: &WorkerId, passwd: &[u8], group: &[u8]) -> io::Result<()> {
        self.worker(worker).write_accounts(passwd, group)
    }

    fn claim(&self, worker: &WorkerId) -> Option<ClaimRecord> {
        self.worker(worker).claim()
    }

    fn write_claim(&self, record: &ClaimRecord) -> io::Result<()> {
        self.worker(&record.id).write_claim(record)
    }

    fn mount_facts(&self, worker: &WorkerId) -> Option<MountFacts> {
        self.worker(worker).mount_facts()
    }

    fn hold(&self, worker: &WorkerId) -> Option<Held> {
        self.worker(worker).hold()
    }

    fn write_hold(&self, worker: &WorkerId, held: &Held) -> io::Result<()> {
        self.worker(worker).write_hold(held)
    }

    fn remove_hold(&self, worker: &WorkerId) -> io::Result<()> {
        self.worker(worker).remove_hold()
    }

    fn finished(&self) -> io::Result<Vec<FinishedRecord>> {
        StateDir::finished(self)
    }

    fn write_finished(&self, record: &FinishedRecord) -> io::Result<()> {
        StateDir::write_finished(self, record)
    }

    fn remove_finished(&self, worker: &WorkerId) -> io::Result<()> {
        StateDir::remove_finished(self, worker)
    }
}
