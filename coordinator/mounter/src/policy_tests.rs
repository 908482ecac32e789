//! The policy's rules, by example and by property.

use super::*;
use proptest::prelude::*;

fn rule(path: &str, rules: &Rules) -> Option<String> {
    check(Path::new(path), rules).err().map(|r| r.rule)
}

fn rules() -> Rules {
    Rules {
        refuse: vec![
            ("/data/engine".into(), "engine data".into()),
            ("/data/state".into(), "state volume".into()),
        ],
        homes: vec!["/people/ann".into()],
        ..Rules::default()
    }
}

#[test]
fn each_rule_refuses_what_it_is_for() {
    let rules = rules();
    for (path, expected) in [
        ("/", "root"),
        ("/etc", "kernel"),
        ("/etc/nginx", "kernel"),
        ("/proc/1/root/home/u/p", "kernel"),
        ("/run/user/1000", "kernel"),
        ("/var/run/x", "kernel"),
        ("/data", "engine data"),
        ("/data/engine", "engine data"),
        ("/data/state/workers/1/home", "state volume"),
        ("/root", "home"),
        ("/home/u", "home"),
        ("/people/ann", "home"),
        ("/people", "home"),
        ("/home/u/.ssh", "secrets"),
        ("/home/u/.gnupg/private-keys-v1.d", "secrets"),
        ("/home/u/src/.aws", "secrets"),
        ("/usr/lib/python3", "system"),
        ("/usr", "system"),
        ("/var/lib/docker/volumes", "system"),
        ("/home", "shared"),
        ("/var", "shared"),
        ("/tmp", "shared"),
        ("relative", "absolute"),
        ("/a/../etc", "absolute"),
    ] {
        assert_eq!(rule(path, &rules).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn ordinary_projects_pass() {
    for path in [
        "/home/u/project",
        "/root/project",
        "/people/ann/x",
        "/srv/site",
        "/tmp/try",
        "/var/lib/jenkins/workspace/job",
        "/data/other",
        "/etcetera",
        "/runner/work",
        "/home/u/my.ssh",
    ] {
        assert_eq!(rule(path, &rules()), None, "{path}");
    }
}

#[test]
fn allow_lifts_soft_rules_and_only_those() {
    let rules = Rules {
        allow: vec![
            "/home/u".into(),
            "/usr/src".into(),
            "/tmp".into(),
            "/etc".into(),
            "/data/state".into(),
            "/".into(),
        ],
        ..rules()
    };
    for path in ["/home/u", "/usr/src", "/usr/src/linux", "/tmp"] {
        assert_eq!(rule(path, &rules), None, "{path}");
    }
    for path in [
        "/home/u/.ssh",
        "/home/v",
        "/usr/lib",
        "/etc",
        "/etc/x",
        "/data/state",
        "/",
    ] {
        assert!(rule(path, &rules).is_some(), "{path}");
    }
}

#[test]
fn roots_confine_and_do_not_lift() {
    let rules = Rules {
        roots: vec!["/home/u/src".into(), "/etc".into()],
        ..rules()
    };
    assert_eq!(rule("/home/u/src", &rules), None);
    assert_eq!(rule("/home/u/src/a", &rules), None);
    assert_eq!(rule("/home/u/srcs", &rules).as_deref(), Some("roots"));
    assert_eq!(rule("/etc/x", &rules).as_deref(), Some("kernel"));
}

#[test]
fn the_refusal_names_the_rule_and_escapes_the_path() {
    let refusal = check(Path::new("/etc/a\nb"), &Rules::default()).unwrap_err();
    assert!(refusal.message.contains("`kernel`"));
    assert!(!refusal.message.contains('\n'));
}

#[test]
fn homes_come_from_people_only() {
    let passwd = b"root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\n\
                   ann:x:1000:1000::/people/ann:/bin/sh\nbad line\nnobody:x:65534:1::/:/x\n\
                   x:x:1001:1::relative:/x";
    assert_eq!(
        homes_of(passwd),
        [PathBuf::from("/root"), PathBuf::from("/people/ann")]
    );
}

fn component() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a", "b c", "etc", "proc", "home", "u", "usr", "var", "run", "lib", ".ssh", "data",
        "engine", "state", "x\ny", "root",
    ])
    .prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(component(), 0..5)
        .prop_map(|parts| PathBuf::from(format!("/{}", parts.join("/"))))
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn hard_rules_hold_whatever_is_allowed(
        project in path(), allow in prop::collection::vec(path(), 0..4), roots in prop::collection::vec(path(), 0..3),
    ) {
        let rules = Rules { allow, roots, ..rules() };
        if check(&project, &rules).is_ok() {
            prop_assert!(project != Path::new("/"));
            for dir in KERNEL {
                prop_assert!(!project.starts_with(dir));
            }
            for (dir, _) in &rules.refuse {
                prop_assert!(!project.starts_with(dir) && !dir.starts_with(&project));
            }
            prop_assert!(rules.roots.is_empty() || rules.roots.iter().any(|r| project.starts_with(r)));
        }
    }

    #[test]
    fn without_allow_no_home_no_key_no_system_folder_passes(project in path()) {
        let rules = rules();
        if check(&project, &rules).is_ok() {
            prop_assert!(!project.components().any(|c| c.as_os_str() == ".ssh"));
            prop_assert!(project.parent() != Some(Path::new("/home")));
            prop_assert!(!project.starts_with("/usr"));
        }
    }

    #[test]
    fn more_allow_never_refuses_more(project in path(), allow in prop::collection::vec(path(), 0..4)) {
        let less = rules();
        let more = Rules { allow, ..rules() };
        prop_assert!(check(&project, &less).is_err() || check(&project, &more).is_ok());
    }
}

#[test]
fn what_leads_to_a_project_is_listed_and_what_cannot_hold_one_is_not() {
    let listed = |path: &str, rules: &Rules| {
        check_listing(Path::new(path), rules)
            .err()
            .map(|refusal| refusal.rule)
    };
    let rules = rules();
    for path in [
        "/",
        "/home",
        "/home/u",
        "/root",
        "/var",
        "/data",
        "/people",
        "/home/u/p",
    ] {
        assert_eq!(listed(path, &rules), None, "{path}");
    }
    for (path, rule) in [
        ("/proc", "kernel"),
        ("/proc/1", "kernel"),
        ("/sys", "kernel"),
        ("/dev", "kernel"),
        ("/etc/ssl", "kernel"),
        ("/data/engine", "engine data"),
        ("/data/state/workers", "state volume"),
        ("/home/u/.ssh", "secrets"),
        ("/usr", "system"),
        ("/usr/local/src", "system"),
    ] {
        assert_eq!(listed(path, &rules).as_deref(), Some(rule), "{path}");
    }
    let allowing = Rules {
        allow: vec!["/usr/local/src".into()],
        ..rules.clone()
    };
    for path in ["/usr", "/usr/local", "/usr/local/src", "/usr/local/src/p"] {
        assert_eq!(listed(path, &allowing), None, "{path}");
    }
    assert_eq!(listed("/usr/bin", &allowing).as_deref(), Some("system"));
    let rooted = Rules {
        roots: vec!["/srv/code".into()],
        ..rules
    };
    for path in ["/", "/srv", "/srv/code", "/srv/code/p"] {
        assert_eq!(listed(path, &rooted), None, "{path}");
    }
    assert_eq!(listed("/home", &rooted).as_deref(), Some("roots"));
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn what_may_be_a_project_is_listed_with_all_that_leads_to_it(project in path()) {
        let rules = rules();
        if check(&project, &rules).is_ok() {
            for folder in project.ancestors() {
                prop_assert!(check_listing(folder, &rules).is_ok(), "{folder:?}");
            }
        }
    }
}
