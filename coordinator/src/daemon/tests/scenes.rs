//! Scenes that chance seldom plays: one fault, at the moment that matters.

use super::*;
use crate::{daemon::helpers::START_DEADLINE, model::WorkerId};

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
