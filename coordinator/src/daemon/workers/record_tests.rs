//! Which main session of an agent is one that a coordinator started.

use super::*;
use crate::{
    daemon::workers::unproven::{Known, claim_of},
    model::HostPath,
    workspace::{MountFacts, MountMode},
};
use serde_json::json;

const ID: &str = "00000000000a";

fn id() -> WorkerId {
    WorkerId::new(ID).unwrap()
}

fn claim(session: &str) -> ClaimRecord {
    let mut claim = claim_of(&id(), Known::default(), None).unwrap();
    session.clone_into(&mut claim.session);
    claim.unproven = None;
    claim
}

fn record(session: Option<&str>) -> Record {
    let mut record = Record::new(id(), "p".into(), "i".into(), 200_000, 1);
    record.claim = session.map(claim);
    record
}

fn info(session: &str) -> SessionInfo {
    serde_json::from_value(json!({
        "session": session, "argv": [], "pid": 1, "started_ms": 1, "primary": true, "size": null,
        "title": "", "clients": 0, "output_bytes": 0, "exit": null, "recording": null,
        "activity": { "state": "idle", "why": "", "seq": 1, "since_ms": 1 }, "claim": null,
    }))
    .unwrap()
}

fn main(record: &Record) -> &str {
    record.session_id().unwrap_or_default()
}

#[test]
fn a_worker_of_the_former_version_is_recognised_and_so_is_its_restart() {
    let mut record = record(Some(ID));
    assert_eq!(record.recognise(&info(ID), None, None), Recognised::Main);
    // Started again while no coordinator listened, by the name of then.
    let next = format!("{ID}-1");
    let found = record.recognise(&info(&next), None, None);
    assert_eq!(found, Recognised::StartedAgain);
    assert_eq!(main(&record), next);
    assert!(record.has_started(ID) && record.has_started(&next));
}

#[test]
fn another_main_session_needs_a_coordinators_word() {
    let mut record = record(Some("s1"));
    let forged = info("s2");
    assert_eq!(record.recognise(&forged, None, None), Recognised::Unknown);
    // What is sealed is for another session.
    let sealed = Some(claim("s1"));
    assert_eq!(record.recognise(&forged, sealed, None), Recognised::Unknown);
    assert_eq!(main(&record), "s1");
    assert!(!record.has_started("s2"));
    let sealed = Some(claim("s2"));
    let found = record.recognise(&forged, sealed, None);
    assert_eq!(found, Recognised::StartedAgain);
    record.restarting = Some("s3".to_owned());
    let found = record.recognise(&info("s3"), None, None);
    assert_eq!(found, Recognised::StartedAgain);
    assert!(record.has_started("s1") && record.has_started("s2"));
}

#[test]
fn without_a_record_only_what_is_sealed_or_noted_is_taken() {
    let mut sealed = record(None);
    let found = sealed.recognise(&info("s1"), Some(claim("s1")), None);
    assert_eq!((found, main(&sealed)), (Recognised::Main, "s1"));

    let facts = MountFacts {
        worker: ID.to_owned(),
        project: HostPath::new("/p"),
        dev: 3,
        ino: 4,
        mode: MountMode::Overlay,
        uid: 200_000,
        gid: 200_001,
        claimed_ns: 5,
    };
    let mut noted = record(None);
    let missing = claim_of(&id(), Known::default(), Some(facts));
    let found = noted.recognise(&info("s1"), None, missing);
    assert_eq!((found, main(&noted)), (Recognised::Main, "s1"));
    let taken = noted.claim.unwrap();
    assert_eq!(taken.project, Some(HostPath::new("/p")));
    assert_eq!((taken.project_dev, taken.project_ino), (3, 4));
    assert_eq!(
        (taken.uid, taken.gid, taken.claimed_ns),
        (200_000, 200_001, 5)
    );
    assert!(taken.unproven.is_none() && taken.argv.is_empty() && taken.may_have_changes());

    let mut nothing = record(None);
    let missing = claim_of(&id(), Known::default(), None);
    let found = nothing.recognise(&info("s1"), None, missing.clone());
    assert_eq!(found, Recognised::Main);
    let taken = nothing.claim.unwrap();
    assert!(taken.unproven.is_some() && taken.project.is_none() && taken.may_have_changes());

    // What is no id names no file.
    let mut odd = record(None);
    let found = odd.recognise(&info("../../x"), None, missing);
    assert_eq!((found, main(&odd)), (Recognised::Unknown, ""));
}

#[test]
fn so_many_execs_are_known_and_no_more() {
    let mut record = record(Some("s1"));
    for n in 0..2 * MAX_EXECS {
        record.exec_starts(&format!("x{n}"));
    }
    assert_eq!(record.execs.len(), MAX_EXECS);
    assert!(!record.has_started("x0"));
    let last = format!("x{}", 2 * MAX_EXECS - 1);
    assert!(record.has_started(&last));
    assert!(record.exec_ended(&last));
    assert!(!record.exec_ended(&last) && !record.has_started(&last));
}
