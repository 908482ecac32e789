//! A review's answer on its way from its process to the coordinator: here both are sockets.

use super::*;
use podbay_protocol::encode;
use std::net::Shutdown;

struct Bench {
    child: UnixStream,
    from: UnixStream,
    coordinator: UnixStream,
    stream: Mutex<UnixStream>,
}

impl Bench {
    fn new() -> Self {
        let (child, from) = UnixStream::pair().unwrap();
        let (coordinator, stream) = UnixStream::pair().unwrap();
        Self {
            child,
            from,
            coordinator,
            stream: Mutex::new(stream),
        }
    }

    fn relay(&self, until: Instant, changing: bool) -> Result<Relayed, MounterError> {
        let look = self.stream.lock().unwrap().try_clone().unwrap();
        let client = Client {
            id: 1,
            stream: &self.stream,
            look,
        };
        relay(&self.from, &client, until, changing)
    }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn frame(text: &str) -> Vec<u8> {
    encode(&text).unwrap()
}

#[test]
fn whole_frames_arrive_and_half_of_one_does_not() {
    let mut bench = Bench::new();
    let (one, two) = (frame("one"), frame("two"));
    let half = frame("half of it");
    bench
        .child
        .write_all(&[&one[..], &two, &half[..9]].concat())
        .unwrap();
    bench.child.shutdown(Shutdown::Write).unwrap();
    assert!(matches!(bench.relay(far(), false), Ok(Relayed::End)));
    drop(bench.stream);
    let mut all = Vec::new();
    bench.coordinator.read_to_end(&mut all).unwrap();
    assert_eq!(all, [one, two].concat());
}

#[test]
fn who_does_not_wait_any_more_ends_a_look_and_not_a_change() {
    for changing in [false, true] {
        let mut bench = Bench::new();
        drop(bench.coordinator);
        bench.child.write_all(&frame("one")).unwrap();
        bench.child.shutdown(Shutdown::Write).unwrap();
        let stream = UnixStream::pair().unwrap().0;
        bench.coordinator = stream;
        let relayed = bench.relay(far(), changing).unwrap();
        match changing {
            false => assert!(matches!(relayed, Relayed::GivenUp)),
            true => assert!(matches!(relayed, Relayed::End), "carried out to its end"),
        }
    }
}

#[test]
fn one_that_takes_too_long_and_one_that_says_too_much_are_given_up() {
    let bench = Bench::new();
    assert!(matches!(
        bench.relay(Instant::now(), false),
        Ok(Relayed::Late)
    ));
    let soon = Instant::now() + Duration::from_millis(20);
    assert!(matches!(bench.relay(soon, true), Ok(Relayed::Late)));
    let mut bench = Bench::new();
    let too_long = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes();
    bench.child.write_all(&too_long).unwrap();
    let Err(error) = bench.relay(far(), true) else {
        panic!("it was passed on")
    };
    assert!(error.message.contains("too long"), "{error}");
}

#[test]
fn how_a_process_ended_is_said_and_what_helps() {
    for (raw, part) in [(9, "signal 9"), (3 << 8, "status 3")] {
        let error = ended(ExitStatus::from_raw(raw));
        assert!(error.message.contains(part), "{error}");
        assert!(error.message.contains("name a folder or a file"), "{error}");
    }
    for why in [NoTurn::Full, NoTurn::Late] {
        let error = too_much(why);
        assert_eq!(error.kind, crate::wire::MounterErrorKind::Busy);
        assert!(error.message.contains("nothing was done"), "{error}");
    }
}
