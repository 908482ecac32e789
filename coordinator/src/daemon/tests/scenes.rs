//! Scenes that chance seldom plays: one fault, at the moment that matters.

use super::*;
use crate::{
    daemon::ClientPath,
    daemon::helpers::START_DEADLINE,
    model::{HostPath, Isolation, WorkerId, WorkerState},
    store::ClaimRecord,
    wire::{ApiError, AttachQuery, ErrorKind, ExecRequest, SpawnRequest, WorkerView},
};
use podbay_protocol::{AttachMode, SessionIo};
use std::collections::BTreeMap;

/// Plays a scene in a world in which nothing else fails.
fn play<F: Future<Output = ()>>(scene: impl FnOnce(Arc<World>) -> F) {
    let (_dir, world) = world(1);
    world.lock().calm = true;
    paused_runtime().block_on(async {
        begin_life(&world);
        scene(world.clone()).await;
    });
    WALL.set(None);
}

/// Who removes what is left over is also who starts the mounter again.
#[test]
fn many_folders_that_are_left_over_do_not_keep_the_mounter_away() {
    play(|world| async move {
        let (daemon, _heard) = asleep(&world);
        daemon.lock().hot.available = true;
        for n in 1..=5 {
            let id = WorkerId::from_bits(n);
            world.lock().homes.insert(id.to_string(), 200_000);
            daemon.lock().leftovers.insert(id);
        }
        let began = Instant::now();
        daemon.remove_leftovers().await;
        let took = began.elapsed();
        assert!(
            took < START_DEADLINE,
            "the mounter was waited for: {took:?}"
        );
        assert_eq!(daemon.lock().leftovers.len(), 5);
        world.lock().mounter_up = true;
        daemon.remove_leftovers().await;
        assert!(daemon.lock().leftovers.is_empty());
    });
}

/// A worker that runs, and whose session does not end by itself.
async fn running(world: &Arc<World>, daemon: &Arc<Daemon>) -> (WorkerId, String) {
    running_in(world, daemon, None).await
}

/// The same with a project.
async fn running_in(
    world: &Arc<World>,
    daemon: &Arc<Daemon>,
    project: Option<(&str, Isolation)>,
) -> (WorkerId, String) {
    pass(world, Duration::from_secs(10)).await;
    let tag = "tag".to_owned();
    let asked = things::Asked::default();
    world.lock().asked.insert(tag.clone(), asked);
    let request = SpawnRequest {
        name: Some("n".to_owned()),
        argv: vec!["run".to_owned(), tag],
        remove: false,
        project: project.map(|(path, _)| HostPath::new(path)),
        isolation: project.map(|(_, isolation)| isolation),
        ..SpawnRequest::default()
    };
    let placed = daemon.spawn(request, None).await.unwrap();
    let id = placed.response.worker.id;
    let inner = &mut *world.lock();
    let found = inner.containers.values_mut().find(|c| c.worker == id);
    let found = found.unwrap();
    found.sessions[0].ends_ms = None;
    (found.id_of_worker(), found.id.clone())
}

fn state(daemon: &Daemon, id: &WorkerId) -> WorkerState {
    daemon.lock().fleet.worker(id).unwrap().state
}

/// The parent was started again: the worker's network is another one. It may be restarted once.
async fn lose(world: &Arc<World>, daemon: &Arc<Daemon>, id: &WorkerId, container: &str) {
    world.lock().containers.get_mut(container).unwrap().netns = 1;
    world.lock().silence(container);
    agent::spawn(world, container);
    pass(world, Duration::from_secs(5)).await;
    assert_eq!(state(daemon, id), WorkerState::Lost);
    let mut permit = things::Permit::default();
    permit.restarts.insert(1, None);
    let inner = &mut *world.lock();
    inner.permits.insert(id.to_string(), permit);
    inner.asked.get_mut("tag").unwrap().restarts = 1;
}

/// A lost worker whose container is being recreated, the former container, and the call that asked.
async fn recreated(
    world: &Arc<World>,
) -> (
    Arc<Daemon>,
    WorkerId,
    String,
    tokio::task::JoinHandle<Result<WorkerView, ApiError>>,
) {
    let daemon = start(world);
    let (id, container) = running(world, &daemon).await;
    lose(world, &daemon, &id, &container).await;
    let again = daemon.clone();
    let restart = tokio::spawn(async move { again.restart_worker("n", None).await });
    (daemon, id, container, restart)
}

#[test]
fn a_worker_whose_former_container_cannot_be_removed_is_heard_again() {
    play(|world| async move {
        let (daemon, id, container, restart) = recreated(&world).await;
        while world.lock().containers[&container].live() {
            pass(&world, Duration::from_millis(1)).await;
            // The session is being stopped: the container goes next.
            let told = world.lock().containers[&container].sessions[0].told;
            world.lock().engine_up = !told;
        }
        assert!(restart.await.unwrap().is_err());
        assert!(world.lock().containers.contains_key(&container));
        world.lock().engine_up = true;
        pass(&world, Duration::from_secs(30)).await;
        assert!(daemon.registry.handle(&id).is_some());
        assert_eq!(state(&daemon, &id), WorkerState::Exited);
        assert!(world.lock().wrong.is_empty(), "{:?}", world.lock().wrong);
        daemon.stop();
    });
}

fn uid(daemon: &Daemon, id: &WorkerId) -> u32 {
    daemon.lock().fleet.worker(id).unwrap().uid
}

/// The end of one of its workers was under way when its coordinator died: its uid was given on.
#[test]
fn a_worker_left_behind_gets_no_uid_that_another_has_by_now() {
    play(|world| async move {
        let daemon = start(&world);
        let (id, _) = running(&world, &daemon).await;
        let claim = daemon.lock().records[&id].claim.clone().unwrap();
        let left = WorkerId::from_bits(1);
        let taken = uid(&daemon, &id);
        world.lock().homes.insert(left.to_string(), taken);
        let claim = ClaimRecord {
            id: left.clone(),
            name: "left".parse().unwrap(),
            moving: true,
            ..claim
        };
        daemon.resume_interrupted_recreation(claim).unwrap();
        assert_ne!(uid(&daemon, &left), taken);
        daemon.stop();
    });
}

#[test]
fn a_guard_that_is_told_of_all_workers_is_not_told_of_one_whose_rules_were_taken_away() {
    play(|world| async move {
        let daemon = start(&world);
        let (id, _) = running(&world, &daemon).await;
        let freed = uid(&daemon, &id);
        assert!(world.lock().rules.contains_key(&freed));
        daemon.unguard(&id).await;
        assert!(!world.lock().rules.contains_key(&freed));
        // As after a guard that was started again.
        world.lock().rules.clear();
        daemon.lock().guard_boot = None;
        pass(&world, Duration::from_secs(60)).await;
        let told: Vec<u32> = world.lock().rules.keys().copied().collect();
        assert!(!told.is_empty() && !told.contains(&freed), "{told:?}");
        daemon.stop();
    });
}

/// Wherever in a recreation the removal comes, no container is left that nobody knows.
#[test]
fn a_worker_that_is_removed_while_its_container_is_recreated_leaves_none_behind() {
    for after in 0..30 {
        play(|world| async move {
            let (daemon, id, container, restart) = recreated(&world).await;
            while world.lock().containers.contains_key(&container) {
                pass(&world, Duration::from_millis(1)).await;
            }
            pass(&world, Duration::from_millis(after)).await;
            let permit = things::Permit {
                stops: 1,
                drops: 1,
                ..world.lock().permits[id.as_str()].clone()
            };
            world.lock().permits.insert(id.to_string(), permit);
            daemon.remove_worker("n", true).await.unwrap();
            drop(restart.await.unwrap());
            pass(&world, Duration::from_secs(120)).await;
            let inner = world.lock();
            let left: Vec<_> = inner
                .containers
                .values()
                .filter(|c| c.worker == id.as_str())
                .collect();
            assert!(left.is_empty(), "after {after}: {left:?}");
            assert!(inner.wrong.is_empty(), "after {after}: {:?}", inner.wrong);
            drop(inner);
            daemon.stop();
        });
    }
}

/// Runs an exec in the worker `n`.
async fn exec(world: &World, daemon: &Arc<Daemon>) {
    let request = ExecRequest {
        argv: vec!["x".to_owned()],
        env: BTreeMap::new(),
        caller_env: BTreeMap::new(),
        io: SessionIo::Pipes,
        root: false,
    };
    let session = daemon.exec("n", request).unwrap().session;
    let query = AttachQuery {
        session: Some(session),
        mode: AttachMode::Write,
        cols: None,
        rows: None,
        silent: false,
    };
    let attached = daemon.attach("n", query, ClientPath::Relayed).await;
    drop(attached.expect("an exec that starts"));
    pass(world, Duration::from_millis(10)).await;
}

fn refreshes(world: &World) -> u64 {
    let counts = &world.lock().counts;
    counts.get("an overlay refreshed").copied().unwrap_or(0)
}

#[test]
fn an_exec_of_a_copy_on_write_worker_has_its_overlay_refreshed_and_starts_in_any_case() {
    play(|world| async move {
        let daemon = start(&world);
        let project = Some(("/srv/one", Isolation::Overlay));
        running_in(&world, &daemon, project).await;
        assert_eq!(refreshes(&world), 0);
        exec(&world, &daemon).await;
        assert_eq!(refreshes(&world), 1);
        // Also one that follows at once: the host may have written in between.
        exec(&world, &daemon).await;
        assert_eq!(refreshes(&world), 2);
        // A person is not put off, and told where nothing was done.
        let answer = daemon.refresh_worker("n").await.unwrap();
        assert_eq!((answer.worker.as_str(), answer.note), ("n", None));
        assert_eq!(refreshes(&world), 3);
        pass(&world, Duration::from_secs(2)).await;
        world.lock().mounter_up = false;
        exec(&world, &daemon).await;
        // That it was missed has brought it back.
        world.lock().mounter_up = false;
        assert!(daemon.refresh_worker("n").await.is_err());
        daemon.stop();
    });
}

#[test]
fn a_bind_is_always_live_and_a_worker_without_a_project_has_nothing_to_refresh() {
    play(|world| async move {
        let daemon = start(&world);
        let project = Some(("/srv/one", Isolation::Bind));
        running_in(&world, &daemon, project).await;
        exec(&world, &daemon).await;
        let note = daemon.refresh_worker("n").await.unwrap().note;
        assert!(note.unwrap().contains("always shows what the host has"));
        assert_eq!(refreshes(&world), 0);
        daemon.stop();
    });
    play(|world| async move {
        let daemon = start(&world);
        running(&world, &daemon).await;
        let error = daemon.refresh_worker("n").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        let unknown = daemon.refresh_worker("none").await.unwrap_err();
        assert_eq!(unknown.kind, ErrorKind::NotFound);
        daemon.stop();
    });
}
