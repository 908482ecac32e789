//! What a worker is, for each combination of what is on disk, listed and described.

use super::*;
use crate::{
    daemon::workers::{
        adoption::unproven::{ListedFacts, claim_of},
        underway::Underway,
    },
    model::{HostPath, WorkerId},
    mounter_client::{MountFacts, MountMode},
};
use serde_json::json;

const ID: &str = "00000000000a";

fn id() -> WorkerId {
    WorkerId::new(ID).unwrap()
}

fn claim(session: &str) -> ClaimRecord {
    let mut claim = claim_of(&id(), ListedFacts::default(), None).unwrap();
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

/// What comes of a main session; of one that is taken over its id, and whether it is another one.
fn adopted(
    record: &Record,
    session: &str,
    carried: Option<ClaimRecord>,
    missing: Option<ClaimRecord>,
) -> Result<Claimed, Option<Box<ClaimRecord>>> {
    let info = info(session);
    let said = Described {
        main: Some(&info),
        carried,
        missing,
        ..Described::default()
    };
    match of_description(record, said) {
        Adoption::Claimed(claimed) => Ok(*claimed),
        Adoption::Lost(reason, claim) if reason == UNKNOWN_MAIN => Err(claim),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_container_is_adopted_removed_or_passed_over() {
    // known, removed since the list was asked for, finished
    for (known, removed, finished, expected) in [
        (true, false, false, Container::Known),
        (true, true, true, Container::Known),
        (false, true, false, Container::Removed),
        (false, true, true, Container::Removed),
        (false, false, true, Container::Left),
        (false, false, false, Container::New),
    ] {
        assert_eq!(of_container(known, removed, finished), expected);
    }
}

#[test]
fn a_folder_without_a_container_is_lost_only_while_it_was_being_recreated() {
    assert_eq!(of_folder(None), Folder::Ended);
    assert_eq!(of_folder(Some(claim("s1"))), Folder::Ended);
    let mut moving = claim("s1");
    moving.moving = true;
    let lost = Folder::Lost(Box::new(moving.clone()));
    assert_eq!(of_folder(Some(moving)), lost);
}

#[test]
fn an_agent_without_a_session_is_warm_unless_something_was_cut_short() {
    let hello = json!({
        "protocol": 99, "build": "9.9.9", "worker": ID, "token": "", "purpose": { "kind": "control" },
    });
    let version = AgentVersion::of(&serde_json::from_value(hello).unwrap());
    let mut moving = record(Some("s1"));
    moving.claim.as_mut().unwrap().moving = true;
    let mut recreated = moving.clone();
    assert!(recreated.underway.begin_recreation());
    let mounted = |record: &Record, cut_off: bool| {
        let said = Described {
            workspace_mounted: true,
            cut_off,
            ..Described::default()
        };
        of_description(record, said)
    };
    let empty = |record: &Record, other_version: Option<&AgentVersion>, cut_off: bool| {
        let said = Described {
            other_version,
            cut_off,
            ..Described::default()
        };
        of_description(record, said)
    };
    assert_eq!(empty(&record(None), None, false), Adoption::Empty);
    assert_eq!(empty(&record(None), None, true), Adoption::CutOff);
    assert_eq!(empty(&record(Some("s1")), None, false), Adoption::Empty);
    let cut_short = Adoption::Unhealthy(CLAIM_CUT_SHORT.to_owned());
    assert_eq!(mounted(&record(None), false), cut_short);
    assert_eq!(mounted(&record(None), true), cut_short);
    assert_eq!(mounted(&record(Some("s1")), false), Adoption::Empty);
    let lost = Adoption::Lost(CUT_SHORT.to_owned(), None);
    assert_eq!(empty(&moving, Some(&version), false), lost);
    assert_eq!(empty(&recreated, None, false), Adoption::Pending);
    for known in [record(None), record(Some("s1"))] {
        let found = empty(&known, Some(&version), true);
        let Adoption::Lost(reason, None) = found else {
            panic!("{found:?}");
        };
        assert!(reason.starts_with("its agent is of"), "{reason}");
    }
}

#[test]
fn a_worker_of_the_former_version_is_recognised_and_so_is_its_restart() {
    let record = record(Some(ID));
    let same = adopted(&record, ID, None, None).unwrap();
    assert!(!same.started_again && same.carry);
    // Started again while no coordinator listened, by the name of then.
    let next = format!("{ID}-1");
    assert!(adopted(&record, &next, None, None).unwrap().started_again);
}

#[test]
fn another_main_session_needs_a_coordinators_word() {
    let mut record = record(Some("s1"));
    assert_eq!(adopted(&record, "s2", None, None), Err(None));
    // What is sealed is for another session.
    let sealed = Some(claim("s1"));
    assert_eq!(adopted(&record, "s2", sealed, None), Err(None));
    let sealed = Some(claim("s2"));
    let found = adopted(&record, "s2", sealed, None).unwrap();
    assert!(found.started_again && !found.carry);
    assert_eq!(found.claim.session, "s1", "the record's own claim");
    record.underway = Underway::Restart("s3".to_owned());
    assert!(adopted(&record, "s3", None, None).unwrap().started_again);
    assert_eq!(adopted(&record, "s4", None, None), Err(None));
}

#[test]
fn a_recreated_container_has_the_folder_that_its_coordinator_did_not_come_to_write_down() {
    let mut recreated = claim("s2");
    (recreated.project_dev, recreated.project_ino) = (3, 4);
    (recreated.uid, recreated.gid, recreated.hot) = (1000, 1001, true);
    let given = |c: &ClaimRecord| (c.project_dev, c.project_ino, c.uid, c.gid, c.hot);
    let mut record = record(Some("s1"));
    let before = given(record.claim.as_ref().unwrap());
    // One that was not being recreated has what its record says.
    let found = adopted(&record, "s2", Some(recreated.clone()), None).unwrap();
    assert_eq!(given(&found.claim), before);
    record.claim.as_mut().unwrap().moving = true;
    let found = adopted(&record, "s2", Some(recreated.clone()), None).unwrap();
    assert_eq!(given(&found.claim), given(&recreated));
    assert_eq!(found.claim.session, "s1", "the record's own claim");
    // What is sealed is for another session than the one that runs.
    let found = adopted(&record, "s1", Some(recreated), None).unwrap();
    assert_eq!(given(&found.claim), before);
}

#[test]
fn a_worker_whose_session_is_found_is_recreated_no_more() {
    let mut record = record(Some("s1"));
    record.claim.as_mut().unwrap().moving = true;
    let moving = |record: &Record| adopted(record, "s1", None, None).unwrap().claim.moving;
    assert!(!moving(&record));
    // Until a recreation that is under way has ended, there may be no container.
    assert!(record.underway.begin_recreation());
    assert!(moving(&record));
    record.underway.end_recreation();
    assert!(!moving(&record));
}

#[test]
fn without_a_record_only_what_is_sealed_or_noted_is_taken() {
    let none = record(None);
    assert_eq!(adopted(&none, "s1", None, None), Err(None));
    let sealed = adopted(&none, "s1", Some(claim("s1")), None).unwrap();
    assert_eq!(sealed.claim.session, "s1");
    assert!(!sealed.started_again && !sealed.carry);

    let facts = MountFacts {
        worker: ID.to_owned(),
        project: HostPath::new("/p"),
        dev: 3,
        ino: 4,
        fsid: None,
        mode: MountMode::Overlay,
        uid: 200_000,
        gid: 200_001,
        claimed_ns: 5,
    };
    let missing = claim_of(&id(), ListedFacts::default(), Some(facts));
    let noted = adopted(&none, "s1", None, missing).unwrap().claim;
    assert_eq!(noted.session, "s1");
    assert_eq!(noted.project, Some(HostPath::new("/p")));
    assert_eq!((noted.project_dev, noted.project_ino), (3, 4));
    let ids = (noted.uid, noted.gid, noted.claimed_ns);
    assert_eq!(ids, (200_000, 200_001, 5));
    assert!(noted.unproven.is_none() && noted.argv.is_empty() && noted.may_have_changes());

    let missing = claim_of(&id(), ListedFacts::default(), None);
    let nothing = adopted(&none, "s1", None, missing.clone()).unwrap().claim;
    assert!(nothing.unproven.is_some() && nothing.project.is_none() && nothing.may_have_changes());

    // What is no id names no file; the claim is kept, and nothing is done with it.
    let odd = adopted(&none, "../../x", None, missing).unwrap_err();
    assert!(odd.is_some_and(|claim| claim.session.is_empty() && claim.unproven.is_some()));
}

#[test]
fn a_session_that_has_ended_is_never_cut_off() {
    for (exit, cut_off) in [
        (None, true),
        (Some(podbay_protocol::ExitStatus::Code(3)), false),
    ] {
        let mut info = info("s1");
        info.exit = exit;
        let said = Described {
            main: Some(&info),
            cut_off: true,
            ..Described::default()
        };
        let Adoption::Claimed(found) = of_description(&record(Some("s1")), said) else {
            panic!("it is the record's own session");
        };
        assert_eq!((found.info.exit, found.cut_off), (exit, cut_off));
    }
}
