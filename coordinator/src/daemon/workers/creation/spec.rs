//! What a new worker's container is to be made of.
//!
//! Owns the seccomp lists and account files that were read for it. Nothing here is on the path of
//! a warm claim.

use crate::daemon::{Daemon, blocking};
use crate::{
    config::{Network, Profile, SecurityProfile},
    model::{Limits, WorkerId},
    runtime::{ProjectMount, Seccomp, WorkerSpec},
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

impl Daemon {
    /// Reads the seccomp lists; they may have been changed.
    pub(in crate::daemon) async fn read_seccomp(&self) {
        let folder = self.state_dir.join("seccomp");
        let read = blocking(move || {
            let all = SecurityProfile::ALL.map(|it| (it, Seccomp::load(&folder, it)));
            Ok::<_, std::io::Error>(all)
        });
        match read.await {
            Ok(read) => self.lock().parts.seccomp = HashMap::from(read),
            Err(error) => tracing::warn!(%error, "the seccomp lists were not read"),
        }
    }

    /// All that goes into one worker's container.
    ///
    /// # Errors
    /// What is missing or wrong, for people.
    #[expect(
        clippy::too_many_arguments,
        reason = "the container's parts, used once"
    )]
    pub(in crate::daemon) async fn spec_of(
        &self,
        worker: &WorkerId,
        name: &str,
        profile: &Profile,
        uid: u32,
        image: String,
        project: Option<ProjectMount>,
        limits: Limits,
    ) -> Result<WorkerSpec, String> {
        let deployment = self.deployment().map_err(|e| e.message)?.clone();
        self.read_seccomp().await;
        let seccomp = self.seccomp_of(profile.security)?;
        if profile.read_only {
            self.place_accounts(worker, &image, &deployment.own.name)
                .await?;
        }
        let bridge = if profile.network == Network::Isolated {
            // One at a time: an engine makes two networks of one name without a word.
            let turn = self.lock().parts.turn.clone();
            let _turn = turn.lock().await;
            let id = self
                .outside
                .engine
                .isolated_network(&deployment.own.name)
                .await;
            Some(id.map_err(|e| e.to_string())?)
        } else {
            None
        };
        Ok(WorkerSpec {
            id: worker.clone(),
            instance: deployment.own.name.clone(),
            parent: deployment.own.id.clone(),
            profile: name.to_owned(),
            spec: self.spec_hash(profile, &image),
            confinement: self.confinement(profile, &image),
            image,
            agent: deployment.agent.clone(),
            uid,
            limits,
            security: profile.security,
            seccomp,
            read_only: profile.read_only,
            network: profile.network,
            egress: profile.egress.clone(),
            bridge,
            runtime: profile.runtime.clone(),
            ports: self.ports_of(uid),
            shm: profile.shm,
            project,
        })
    }

    /// The seccomp list of a security profile, as last read.
    pub(in crate::daemon) fn seccomp_of(
        &self,
        security: SecurityProfile,
    ) -> Result<Seccomp, String> {
        let found = self.lock().parts.seccomp.get(&security).cloned();
        found
            .ok_or("no seccomp list was read")?
            .map_err(|e| e.to_string())
    }

    /// Copies the image's account files into the worker's folder: a read-only root has none that
    /// could be added to.
    async fn place_accounts(
        &self,
        worker: &WorkerId,
        image: &str,
        instance: &str,
    ) -> Result<(), String> {
        let turn = self.lock().parts.turn.clone();
        let _turn = turn.lock().await;
        let known = self.lock().parts.accounts.get(image).cloned();
        let accounts = match known {
            Some(accounts) => accounts,
            None => {
                let read = self.outside.engine.accounts(image, instance).await;
                let read = Arc::new(read.map_err(|e| e.to_string())?);
                let parts = &mut self.lock().parts;
                parts.accounts.insert(image.to_owned(), read.clone());
                read
            }
        };
        let (store, id) = (self.outside.store.clone(), worker.clone());
        let placed = blocking(move || store.write_accounts(&id, &accounts.passwd, &accounts.group));
        placed
            .await
            .map_err(|e| format!("cannot write the worker's account files: {e}"))
    }

    /// Hash of all that goes into a container of this profile.
    pub(in crate::daemon) fn spec_hash(&self, profile: &Profile, image: &str) -> String {
        let mut hasher = DefaultHasher::new();
        profile.limits.hash(&mut hasher);
        self.hash_confinement(profile, image, &mut hasher);
        if let Some(deployment) = self.deployment.get() {
            deployment.agent.hash(&mut hasher);
            deployment.own.id.hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }

    fn hash_confinement(&self, profile: &Profile, image: &str, hasher: &mut DefaultHasher) {
        image.hash(hasher);
        (profile.security, profile.read_only, profile.shm).hash(hasher);
        (profile.network, &profile.runtime, &profile.egress).hash(hasher);
        if let Some(Ok(seccomp)) = self.lock().parts.seccomp.get(&profile.security) {
            seccomp.hash(hasher);
        }
    }

    /// Hash of what the sessions of a container of this profile rely on: its image, and what confines
    /// them.
    pub(in crate::daemon) fn confinement(&self, profile: &Profile, image: &str) -> String {
        let mut hasher = DefaultHasher::new();
        self.hash_confinement(profile, image, &mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// The same of a container that exists. One of a former version has no label for it: it counts
    /// as what its profile says if the labels that it has agree with that.
    pub(in crate::daemon) fn confinement_of(
        &self,
        profile: &str,
        image: &str,
        labels: &HashMap<String, String>,
    ) -> String {
        use crate::runtime::labels::{CONFINEMENT, EGRESS, NETWORK, RUNTIME, SECURITY};
        if let Some(known) = labels.get(CONFINEMENT) {
            return known.clone();
        }
        let config = self.config();
        let Some(profile) = config.profiles.get(profile) else {
            return String::new();
        };
        let label = |key: &str| labels.get(key).map_or("", String::as_str);
        let same = label(SECURITY) == profile.security.as_str()
            && label(NETWORK) == profile.network.as_str()
            && label(RUNTIME) == profile.runtime.as_deref().unwrap_or_default()
            && label(EGRESS) == profile.egress.to_string();
        if same {
            self.confinement(profile, image)
        } else {
            String::new()
        }
    }
}
