//! Loading: precedence, places of faults, and no panic whatever the text.

#[path = "../../tests/support/seeds.rs"]
mod seeds;

use coordinator::config::{Config, Origin, Overrides, Sources, load, parse, schema, to_toml};
use coordinator::model::{Limits, keys::Preset};
use proptest::prelude::*;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn with_env(pairs: &[(&str, &str)]) -> Result<Config, String> {
    let sources = Sources {
        env: env(pairs),
        ..Sources::default()
    };
    load(&sources).map_err(|errors| errors.to_string())
}

#[test]
fn nothing_given_is_the_documented_defaults() {
    let config = with_env(&[]).unwrap();
    let profile = &config.profiles["default"];
    assert_eq!(profile.image, "podbay/worker:minimal");
    assert_eq!(profile.command, ["bash"]);
    assert_eq!((profile.min_warm, profile.max_warm), (2, 5));
    assert_eq!(profile.idle_timeout, Duration::from_secs(1800));
    assert_eq!(profile.max_age, Duration::from_secs(86_400));
    assert_eq!(profile.stop_grace, Duration::from_secs(2));
    assert_eq!(profile.limits, Limits::default());
    assert_eq!(config.attach.detach_keys, ["ctrl-p,ctrl-q", "ctrl-\\"]);
    assert_eq!(config.api.max_body, 1 << 20);
    assert_eq!(config.engine.max_parallel, 8);
    assert!(config.pool.enabled && !config.pool.skip_image_pull);
}

#[test]
fn flags_win_over_environment_over_file_over_profile_files_key_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let profiles = folder.path().join("profiles");
    std::fs::create_dir(&profiles).unwrap();
    let default = "image = \"a\"\nmin_warm = 1\nmax_warm = 9\nmemory = \"1g\"\ncpus = 1\n";
    std::fs::write(profiles.join("default.toml"), default).unwrap();
    std::fs::write(profiles.join("gpu.toml"), "image = \"gpu\"\n").unwrap();
    std::fs::write(profiles.join("notes.txt"), "not a profile").unwrap();
    let file = folder.path().join("podbay.toml");
    let text = "[profiles.default]\nimage = \"b\"\nmin_warm = 2\nmemory = \"2g\"\n";
    std::fs::write(&file, text).unwrap();
    let mut flags = Overrides::default();
    flags.set("--image", "*.image", "d");
    flags.set("--log-level", "log.level", "trace");
    let variables = [
        ("PODBAY_IMAGE", "c"),
        ("WORKER_MEMORY", "3g"),
        ("MIN_WARM_WORKERS", ""),
    ];
    let config = load(&Sources {
        file: Some(file),
        usual: Some(folder.path().join("not-looked-at.toml")),
        profiles_dir: Some(profiles),
        env: env(&variables),
        flags,
    })
    .unwrap();
    let profile = &config.profiles["default"];
    assert_eq!(profile.image, "d", "flag");
    assert_eq!(profile.limits.memory_bytes, Some(3 << 30), "environment");
    assert_eq!(profile.min_warm, 2, "file; an empty variable is not set");
    assert_eq!(profile.max_warm, 9, "profile file");
    assert_eq!(config.log.level, "trace");
    let gpu = &config.profiles["gpu"];
    assert_eq!(gpu.image, "gpu");
    assert_eq!(gpu.min_warm, 0, "only the default pool is warm unasked");
}

#[test]
fn every_section_can_be_set_from_the_environment() {
    let config = with_env(&[
        ("PODBAY_LOG_LEVEL", "debug"),
        ("PODBAY_ENGINE_TIMEOUT", "3s"),
        ("PODBAY_ENGINE_MAX_PARALLEL", "7"),
        ("PODBAY_WORKSPACE_ROOTS", "/a:/b"),
        ("PODBAY_ATTACH_DETACH_KEYS", "ctrl-a,d ctrl-^"),
        ("PODBAY_DASHBOARD_KEYMAP", "tmux"),
        ("PODBAY_DASHBOARD_LEAVE_KEYS", "ctrl-a,d ctrl-]"),
        ("PODBAY_DASHBOARD_MOUSE", "off"),
        ("PODBAY_COMMAND", "zsh -l"),
        ("PODBAY_READ_ONLY", "1"),
        ("PODBAY_CPUS", "1.5"),
        ("PODBAY_PIDS", "none"),
        ("PODBAY_PORT_BASE", "4000"),
    ])
    .unwrap();
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.engine.timeout, Duration::from_secs(3));
    assert_eq!(config.engine.max_parallel, 7);
    assert_eq!(config.workspace.roots, ["/a", "/b"].map(PathBuf::from));
    assert_eq!(config.attach.detach_keys, ["ctrl-a,d", "ctrl-^"]);
    assert_eq!(config.dashboard.keymap, Preset::Tmux);
    assert_eq!(config.dashboard.leave_keys, ["ctrl-a,d", "ctrl-]"]);
    assert!(!config.dashboard.mouse);
    let profile = &config.profiles["default"];
    assert_eq!(profile.command, ["zsh", "-l"]);
    assert!(profile.read_only);
    assert_eq!(profile.limits.nano_cpus, Some(1_500_000_000));
    assert_eq!(profile.limits.pids, None);
}

#[test]
fn the_names_of_the_shell_scripts_still_work() {
    let config = with_env(&[
        ("WORKER_MEMORY", "2g"),
        ("WORKER_CPUS", "1"),
        ("WORKER_IMAGE", "my/worker:1"),
        ("MIN_WARM_WORKERS", "3"),
        ("MAX_WARM_WORKERS", "4"),
        ("SKIP_IMAGE_PULL", "true"),
        ("LAZY_IMAGE_PULL", "yes"),
    ])
    .unwrap();
    let profile = &config.profiles["default"];
    assert_eq!(profile.image, "my/worker:1");
    assert_eq!((profile.min_warm, profile.max_warm), (3, 4));
    assert_eq!(profile.limits.memory_bytes, Some(2 << 30));
    assert!(config.pool.skip_image_pull && config.pool.lazy_image_pull);

    let off = [("ENABLE_POOL_MANAGER", "false"), ("MIN_WARM_WORKERS", "3")];
    let config = with_env(&off).unwrap();
    let profile = &config.profiles["default"];
    assert_eq!((profile.min_warm, profile.max_warm), (0, 0));
    assert_eq!(parse("x".as_ref(), &to_toml(&config)).unwrap(), config);
}

#[test]
fn a_fault_in_the_environment_names_the_variable() {
    for (variable, value, key) in [
        ("WORKER_MEMORY", "lots", "profiles.default.memory"),
        ("ENABLE_POOL_MANAGER", "maybe", "pool.enabled: \"maybe\""),
        ("MIN_WARM_WORKERS", "-1", "profiles.default.min_warm"),
        ("PODBAY_LOG_LEVEL", "lout", "log.level"),
        ("PODBAY_DASHBOARD_KEYMAP", "vim", "dashboard.keymap"),
        (
            "PODBAY_DASHBOARD_KEYS",
            "x",
            "dashboard.keys: cannot be set here",
        ),
        ("PODBAY_DEFAULTS_PROFILE", "gpu", "defaults.profile"),
    ] {
        let errors = with_env(&[(variable, value)]).unwrap_err();
        let expected = format!("environment variable {variable}: {key}");
        assert!(errors.contains(&expected), "{errors}");
    }
    let both = [("MIN_WARM_WORKERS", "5"), ("PODBAY_MAX_WARM", "3")];
    let errors = with_env(&both).unwrap_err();
    for (variable, _) in both {
        assert!(errors.contains(variable), "{errors}");
    }
}

#[test]
fn a_fault_in_a_flag_names_the_flag() {
    let mut flags = Overrides::default();
    flags.set("--log-level", "log.level", "loud");
    flags.set("--nonsense", "log.nonsense", "1");
    let errors = load(&Sources {
        flags,
        ..Sources::default()
    })
    .unwrap_err();
    let origins: Vec<_> = errors.0.iter().map(|e| e.origin.clone()).collect();
    assert!(origins.contains(&Origin::Flag("--log-level".into())));
    assert!(origins.contains(&Origin::Flag("--nonsense".into())));
}

#[test]
fn all_faults_are_reported_in_one_go() {
    let text = "colour = 1\n[log]\nlevel = 3\n[profiles.default]\nmin_warm = 99\nimage = \"A\"\n";
    let errors = parse("podbay.toml".as_ref(), text).unwrap_err().to_string();
    for place in [
        "podbay.toml:1:1: colour",
        "podbay.toml:3:9: log.level",
        "podbay.toml:5:12: profiles.default.min_warm",
        "podbay.toml:6:9: profiles.default.image",
    ] {
        assert!(errors.contains(place), "{errors}");
    }
    assert_eq!(errors.lines().count(), 4, "{errors}");
}

#[test]
fn faults_in_a_profiles_file_have_their_place_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rust.toml"), "\nimgae = \"x\"\n").unwrap();
    std::fs::write(folder.path().join("Bad Name.toml"), "").unwrap();
    std::fs::write(folder.path().join("bytes.toml"), b"\n\xff").unwrap();
    let errors = load(&Sources {
        profiles_dir: Some(folder.path().to_owned()),
        ..Sources::default()
    })
    .unwrap_err()
    .to_string();
    for expected in [
        "rust.toml:2:1: profiles.rust.imgae: no such key; did you mean \"image\"?",
        "rename the file",
        "line 2 is not UTF-8",
    ] {
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there_and_a_profiles_folder_need_not() {
    let gone = PathBuf::from("/nonexistent/podbay.toml");
    let errors = load(&Sources {
        file: Some(gone.clone()),
        profiles_dir: Some(gone),
        ..Sources::default()
    })
    .unwrap_err();
    assert_eq!(errors.0.len(), 1);
    assert!(errors.to_string().contains("cannot be read"));
}

#[test]
fn the_schema_is_closed_and_describes_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let defaults: toml::Table = toml::from_str(&to_toml(&with_env(&[]).unwrap())).unwrap();
    for (section, keys) in &defaults {
        let mut shape = &schema["properties"][section];
        let mut keys = keys.as_table().unwrap();
        if section == "profiles" {
            shape = &shape["additionalProperties"];
            keys = keys["default"].as_table().unwrap();
        }
        assert_eq!(shape["additionalProperties"], false, "{section}");
        for key in keys.keys() {
            let description = &shape["properties"][key]["description"];
            assert!(description.is_string(), "{section}.{key}");
        }
    }
}

/// Text that looks like configuration.
fn toml_like() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "log",
        "level",
        "profiles",
        "default",
        "min_warm",
        "env",
        "attach",
        "detach_keys",
        "\"\"",
        "x.y",
        "workspace",
        "dashboard",
        "keys",
        "quit",
        "roots",
        "engine",
        "timeout",
        "defaults",
        "profile",
        "'a b'",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "0x7f",
        "1.5",
        "nan",
        "true",
        "\"info\"",
        "\"\"",
        "[]",
        "[1, \"a\"]",
        "{}",
        "{a = 1}",
        "1979-05-27",
        "[[1]]",
        "'''x\ny'''",
        "9999999999999999999999",
        "\"\\u0000\"",
        "{level = []}",
    ]);
    let line = prop_oneof![
        (key.clone(), value).prop_map(|(k, v)| format!("{k} = {v}")),
        (key.clone(), key.clone()).prop_map(|(a, b)| format!("[{a}.{b}]")),
        key.clone().prop_map(|k| format!("[{k}]")),
        key.prop_map(|k| format!("[[{k}]]")),
        ".{0,12}",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(seeds::cases(200))]

    #[test]
    fn no_text_panics_and_what_loads_survives_a_round_trip(
        text in prop_oneof![toml_like(), any::<String>()],
    ) {
        match parse("x".as_ref(), &text) {
            Ok(config) => {
                let again = parse("x".as_ref(), &to_toml(&config));
                prop_assert_eq!(again.map_err(|e| e.to_string()), Ok(config));
            }
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                let message = errors.to_string();
                prop_assert_eq!(message.lines().count(), errors.0.len(), "{}", message);
            }
        }
    }

    #[test]
    fn any_environment_and_flags_are_taken_or_refused(
        value in ".{0,20}",
        key in "[a-z*.]{0,12}|log\\.level|\\*\\.memory|profiles\\..\\.env",
    ) {
        let mut flags = Overrides::default();
        flags.set("--x", &key, &value);
        let variables = ["PODBAY_LOG_LEVEL", "WORKER_MEMORY", "PODBAY_COMMAND"];
        let sources = Sources {
            env: env(&variables.map(|name| (name, value.as_str()))),
            flags,
            ..Sources::default()
        };
        if let Err(errors) = load(&sources) {
            prop_assert!(!errors.0.is_empty());
        }
    }

    #[test]
    fn values_of_any_size_survive_a_round_trip(
        memory in (6u64 << 20)..(1 << 50),
        nano in 10_000_000u64..1_024_000_000_000,
        millis in 1_000u64..31_536_000_000,
        body in (16usize << 10)..(64 << 20),
        command in prop::collection::vec("[^\0]{1,10}", 1..4),
        value in prop_oneof![
            "[^\0]{0,20}",
            Just("a\ncpus = \"2\"\n'''\n".to_owned()),
        ],
        name in "[a-z0-9][a-z0-9_.-]{0,20}",
    ) {
        let mut config = parse("x".as_ref(), "").unwrap();
        let mut profile = config.profiles["default"].clone();
        profile.limits.memory_bytes = Some(memory);
        profile.limits.nano_cpus = Some(nano);
        profile.idle_timeout = Duration::from_millis(millis);
        profile.command = command;
        profile.env.insert("A_1".into(), value);
        config.api.max_body = body;
        config.profiles.insert(name, profile);
        let again = parse("x".as_ref(), &to_toml(&config));
        prop_assert_eq!(again.map_err(|e| e.to_string()), Ok(config));
    }
}
