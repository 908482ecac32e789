//! Calls to engine, mounter and guard.

use crate::{
    guard_client::{GuardClient, GuardReport, GuardRequest, Guarded},
    model::{HostPath, Limits},
    mounter_client::{
        CheckedProject, MountRequest, Mounted, MounterCaps, MounterClient, MounterError,
        OverlayRequest, Policy, PrepareRequest, ReviewClaim, Usage, UsageRequest,
    },
    runtime::{
        Accounts, Docker, EngineEvent, Helper, HelperSpec, HostFolders, Image, Listed, Own,
        RuntimeError, Started, WorkerSpec, own_container,
    },
    wire::{ChangeCount, Folders},
};
use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};
use std::{
    fmt::Debug,
    path::{Path, PathBuf},
};

/// What the engine answers.
type Engined<T> = Result<T, RuntimeError>;
/// What the mounter answers.
type Mount<T> = Result<T, MounterError>;

/// Declares a trait of calls, and that a client has them under the same names.
macro_rules! calls {
    (
        $(#[$doc:meta])*
        trait $name:ident for $client:ty {
            $($(#[$about:meta])* fn $call:ident($($given:ident: $type:ty),*) -> $answer:ty;)*
        }
        also { $($more:tt)* }
        by { $($how:tt)* }
    ) => {
        $(#[$doc])*
        pub(in crate::daemon) trait $name: Debug + Send + Sync {
            $(
                $(#[$about])*
                fn $call<'a>(&'a self, $($given: $type),*) -> BoxFuture<'a, $answer>;
            )*
            $($more)*
        }

        impl $name for $client {
            $(
                fn $call<'a>(&'a self, $($given: $type),*) -> BoxFuture<'a, $answer> {
                    Box::pin(<$client>::$call(self, $($given),*))
                }
            )*
            $($how)*
        }
    };
}

calls! {
    /// The engine's calls, each with a deadline of its own.
    trait Engine for Docker {
        /// Its name, version and API version.
        fn version() -> Engined<(String, String, String)>;
        /// The folder of its data.
        fn data_root() -> Engined<Option<PathBuf>>;
        /// Which of its parts is missing.
        fn missing_part() -> Engined<Option<String>>;
        /// All containers of an instance.
        fn list(instance: &'a str) -> Engined<Vec<Listed>>;
        /// A worker's container, by its label.
        fn find_worker(instance: &'a str, worker: &'a str) -> Engined<Option<String>>;
        /// Creates and starts a worker's container.
        fn create_worker(spec: &'a WorkerSpec, host: &'a HostFolders) -> Engined<Started>;
        /// Removes a container; one that is gone is no error.
        fn remove(container: &'a str) -> Engined<()>;
        /// Renames a container.
        fn rename(container: &'a str, name: &'a str) -> Engined<()>;
        /// Pauses a container.
        fn pause(container: &'a str) -> Engined<()>;
        /// Resumes a container.
        fn unpause(container: &'a str) -> Engined<()>;
        /// Changes a container's limits.
        fn update_limits(container: &'a str, limits: Limits) -> Engined<()>;
        /// The process id of a container's PID 1 as the host counts.
        fn host_pid(container: &'a str) -> Engined<i32>;
        /// An image, when it is there.
        fn image(image: &'a str) -> Engined<Option<Image>>;
        /// An image, pulled when it is absent and that is allowed.
        fn ensure_image(image: &'a str, pull: bool) -> Engined<Image>;
        /// The account files of an image.
        fn accounts(image: &'a str, instance: &'a str) -> Engined<Accounts>;
        /// The network of isolated workers.
        fn isolated_network(instance: &'a str) -> Engined<String>;
        /// Creates and starts a helper's container.
        fn create_helper(spec: &'a HelperSpec) -> Engined<Started>;
        /// Removes helpers of a role, but for one.
        fn remove_helpers(instance: &'a str, helper: Helper, but: Option<&'a str>) -> Engined<usize>;
        /// Runs the installer of an upgrade to its end.
        fn run_installer(spec: &'a HelperSpec) -> Engined<(i64, String)>;
    }
    also {
        /// The container that this process runs in.
        fn own<'a>(&'a self, state: &'a Path) -> BoxFuture<'a, Engined<Own>>;
        /// Events of the instance's containers.
        fn events<'a>(&'a self, instance: &'a str) -> BoxStream<'a, Engined<EngineEvent>>;
        /// Where it listens.
        fn socket(&self) -> &Path;
        /// Where it listens, as text.
        fn endpoint(&self) -> &str;
    }
    by {
        fn own<'a>(&'a self, state: &'a Path) -> BoxFuture<'a, Engined<Own>> {
            Box::pin(own_container(self, state))
        }

        fn events<'a>(&'a self, instance: &'a str) -> BoxStream<'a, Engined<EngineEvent>> {
            Docker::events(self, instance).boxed()
        }

        fn socket(&self) -> &Path {
            Docker::socket(self)
        }

        fn endpoint(&self) -> &str {
            Docker::endpoint(self)
        }
    }
}

calls! {
    /// The mounter's calls, each with a deadline of its own; reviews are not among them.
    trait Mounter for MounterClient {
        /// What it can do.
        fn probe() -> Mount<MounterCaps>;
        /// Gives a worker's folder its owners.
        fn prepare(request: PrepareRequest) -> Mount<()>;
        /// Makes an overlay ahead of its claim.
        fn prepare_overlay(request: OverlayRequest) -> Mount<()>;
        /// Puts a project into a running worker.
        fn mount(request: MountRequest) -> Mount<Mounted>;
        /// Takes it out again.
        fn unmount(worker: &'a str, pid: i32) -> Mount<()>;
        /// Makes the host's later edits of the project visible in an overlay.
        fn refresh(worker: &'a str, pid: i32) -> Mount<()>;
        /// Opens a project as a mount would.
        fn check(project: HostPath, policy: Policy) -> Mount<CheckedProject>;
        /// What a path may be completed to.
        fn folders(prefix: HostPath, policy: Policy) -> Mount<Folders>;
        /// Puts the engine's socket back.
        fn engine_socket(pid: i32, source: &'a Path, target: &'a Path) -> Mount<()>;
        /// Whether a worker changed anything.
        fn any_changes(target: ReviewClaim) -> Mount<bool>;
        /// How much a worker changed.
        fn count(target: ReviewClaim, most: u64) -> Mount<Option<ChangeCount>>;
        /// What a worker keeps on the state volume.
        fn usage(request: UsageRequest) -> Mount<Usage>;
        /// Removes a worker's folder.
        fn remove_worker(worker: &'a str) -> Mount<()>;
        /// Resolves when a call did not reach it.
        fn missed() -> ();
    }
    also {}
    by {}
}

calls! {
    /// The guard's calls.
    trait Guard for GuardClient {
        /// One question or order.
        fn ask(request: &'a GuardRequest) -> Result<GuardReport, String>;
        /// All workers, in place of those that it knows.
        fn replace(workers: Vec<Guarded>) -> Result<GuardReport, String>;
    }
    also {}
    by {}
}
