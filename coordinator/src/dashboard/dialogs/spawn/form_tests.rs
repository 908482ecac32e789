//! The spawn form, key by key.

use super::*;
use crate::model::HostPath;
use proptest::prelude::*;

fn offers() -> Vec<Offer> {
    ["claude", "shell"]
        .map(|profile| Offer {
            profile: profile.to_owned(),
            image: format!("podbay/worker:{profile}"),
            warm: 2,
            held: None,
        })
        .to_vec()
}

fn form() -> SpawnForm {
    let recent = ["/srv/shop".to_owned(), "/srv/blog".to_owned()];
    SpawnForm::new(&SpawnMemory::default(), offers(), &recent)
}

fn press(form: &mut SpawnForm, code: KeyCode) -> FormKey {
    form.key(KeyEvent::new(code, KeyModifiers::NONE), Size::default())
}

fn type_in(form: &mut SpawnForm, text: &str) -> Vec<Effect> {
    let mut all = Vec::new();
    for c in text.chars() {
        match press(form, KeyCode::Char(c)) {
            FormKey::Stay(effects) => all.extend(effects),
            other => panic!("{other:?}"),
        }
    }
    all
}

fn go_to(form: &mut SpawnForm, field: SpawnField) {
    while form.focus != field {
        press(form, KeyCode::Tab);
    }
}

fn folders(form: &mut SpawnForm, path: &str, folders: &[&str]) {
    let folders = folders.iter().map(|f| (*f).to_owned()).collect();
    form.folders_came(path, Ok(folders));
}

#[test]
fn an_empty_form_asks_for_the_defaults() {
    let request = form().request(Size { cols: 80, rows: 24 }).unwrap();
    assert_eq!(request, SpawnRequest::default());
}

#[test]
fn every_field_gets_into_the_request_and_the_memory() {
    let mut form = form();
    type_in(&mut form, "/srv/x/");
    for (field, text) in [
        (SpawnField::Name, "fix"),
        (SpawnField::Command, "sh -c 'a b'"),
        (SpawnField::Env, "A=1 B='x y'"),
        (SpawnField::Memory, " 1.5g "),
        (SpawnField::Cpus, "0.5"),
        (SpawnField::Pids, "100"),
    ] {
        go_to(&mut form, field);
        type_in(&mut form, text);
    }
    go_to(&mut form, SpawnField::Keep);
    press(&mut form, KeyCode::Char(' '));
    let memory = form.memory();
    let FormKey::Spawn(request) = press(&mut form, KeyCode::Enter) else {
        panic!("{:?}", form.error)
    };
    assert_eq!(request.project, Some(HostPath::new("/srv/x")));
    assert_eq!(request.argv, ["sh", "-c", "a b"]);
    assert_eq!(request.env["B"], "x y");
    assert_eq!(request.limits.memory.as_deref(), Some("1.5g"));
    assert!(!request.remove);
    let json = serde_json::to_string(&memory).unwrap();
    assert!(!json.contains("x y"), "{json}");
    let again = SpawnForm::new(&memory, offers(), &[]);
    assert_eq!(again.request(Size::default()).unwrap().name, None);
    assert_eq!(again.pids.content(), "100");
    assert!(serde_json::from_str::<SpawnMemory>("{\"new\": 1}").is_ok());
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    for (field, text) in [
        (SpawnField::Project, "src"),
        (SpawnField::Project, "~/src"),
        (SpawnField::Name, "Not Good"),
        (SpawnField::Command, "sh -c 'oops"),
        (SpawnField::Env, "A=1 B"),
        (SpawnField::Memory, "lots"),
        (SpawnField::Cpus, "0"),
        (SpawnField::Pids, "1.5"),
    ] {
        let mut form = form();
        go_to(&mut form, field);
        type_in(&mut form, text);
        if field != SpawnField::Keep {
            press(&mut form, KeyCode::BackTab);
        }
        assert_eq!(
            press(&mut form, KeyCode::Enter),
            FormKey::Stay(vec![]),
            "{text}"
        );
        assert_eq!(form.error.as_ref().map(|e| e.0), Some(field), "{text}");
        assert_eq!(form.focus, field);
    }
}

#[test]
fn choices_go_around_and_begin_with_the_default() {
    let mut form = form();
    go_to(&mut form, SpawnField::Profile);
    let seen: Vec<_> = (0..3)
        .map(|_| {
            press(&mut form, KeyCode::Right);
            form.profile.clone()
        })
        .collect();
    let of = |name: &str| Some(name.to_owned());
    assert_eq!(seen, [of("claude"), of("shell"), None]);
    press(&mut form, KeyCode::Left);
    assert_eq!(form.profile, of("shell"));
    assert_eq!(form.offer().map(|o| o.warm), Some(2));
}

#[test]
fn each_change_of_the_path_asks_for_its_folders_and_late_answers_are_dropped() {
    let mut form = form();
    let asked = type_in(&mut form, "/s");
    let of = |path: &str| {
        Effect::Fetch(Fetch::Folders {
            path: path.to_owned(),
        })
    };
    assert_eq!(asked, [of("/"), of("/s")]);
    folders(&mut form, "/", &["/home", "/srv"]);
    assert!(form.completion.list().iter().all(|c| c.recent));
    folders(&mut form, "/s", &["/srv", "/sys"]);
    let paths: Vec<&str> = form
        .completion
        .list()
        .iter()
        .map(|c| c.path.as_str())
        .collect();
    assert_eq!(paths, ["/srv/shop", "/srv/blog", "/srv", "/sys"]);
}

#[test]
fn tab_completes_what_is_common_then_goes_on() {
    let mut form = form();
    type_in(&mut form, "/h");
    folders(&mut form, "/h", &["/home/ann", "/home/anton"]);
    press(&mut form, KeyCode::Tab);
    assert_eq!(form.project.content(), "/home/an");
    folders(&mut form, "/home/an", &["/home/ann", "/home/anton"]);
    press(&mut form, KeyCode::Tab);
    assert_eq!(form.focus, SpawnField::Name);
    press(&mut form, KeyCode::BackTab);
    type_in(&mut form, "t");
    folders(&mut form, "/home/ant", &["/home/anton"]);
    press(&mut form, KeyCode::Tab);
    assert_eq!(form.project.content(), "/home/anton/");
}

#[test]
fn tab_goes_on_from_a_whole_folder_whenever_the_answer_came() {
    for answered in [false, true] {
        let mut form = form();
        type_in(&mut form, "/home/ann");
        if answered {
            folders(&mut form, "/home/ann", &["/home/ann"]);
        }
        press(&mut form, KeyCode::Tab);
        assert_eq!(form.focus, SpawnField::Name, "answered: {answered}");
        assert_eq!(form.project.content(), "/home/ann");
    }
}

#[test]
fn the_list_is_gone_through_with_arrows_and_enter_takes_before_it_spawns() {
    let mut form = form();
    press(&mut form, KeyCode::Down);
    press(&mut form, KeyCode::Down);
    assert_eq!(form.completion.chosen().unwrap().path, "/srv/blog");
    assert_eq!(press(&mut form, KeyCode::Enter), FormKey::Stay(vec![]));
    assert_eq!(form.project.content(), "/srv/blog");
    let FormKey::Spawn(request) = press(&mut form, KeyCode::Enter) else {
        panic!()
    };
    assert_eq!(request.project, Some(HostPath::new("/srv/blog")));
}

#[test]
fn up_leads_out_of_the_list_and_esc_closes_it_first() {
    let mut form = form();
    press(&mut form, KeyCode::Down);
    press(&mut form, KeyCode::Up);
    assert!(form.completion.chosen().is_none());
    press(&mut form, KeyCode::Down);
    assert_eq!(press(&mut form, KeyCode::Esc), FormKey::Stay(vec![]));
    assert_eq!(press(&mut form, KeyCode::Esc), FormKey::Cancel);
}

#[test]
fn a_pasted_path_replaces_what_was_only_offered() {
    let mut form = form();
    form.project = TextField::new("/srv/shop");
    form.paste("/srv/x\n");
    assert_eq!(form.project.content(), "/srv/x");
    form.paste("/y");
    assert_eq!(form.project.content(), "/srv/x/y");
}

#[test]
fn a_home_is_not_expanded_and_that_is_said_while_it_is_typed() {
    let mut form = form();
    assert_eq!(type_in(&mut form, "~"), []);
    let (wrong, said) = form.advice();
    assert!(wrong && said.contains("does not know"), "{said}");
}

#[test]
fn a_failure_to_list_folders_stops_nobody() {
    let mut form = form();
    type_in(&mut form, "/x");
    form.folders_came("/x", Err(Failure::new("no mounter")));
    assert!(form.advice().1.contains("no mounter"));
    assert!(matches!(
        press(&mut form, KeyCode::Enter),
        FormKey::Spawn(_)
    ));
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn any_keys_in_any_order(
        keys in prop::collection::vec(prop_oneof![
            3 => any::<char>().prop_map(KeyCode::Char),
            2 => prop::sample::select("/ ~=lh'sx".chars().map(KeyCode::Char).collect::<Vec<_>>()),
            3 => prop::sample::select(vec![
                KeyCode::Tab, KeyCode::BackTab, KeyCode::Up, KeyCode::Down, KeyCode::Left,
                KeyCode::Right, KeyCode::Backspace, KeyCode::Home, KeyCode::Enter, KeyCode::Esc,
            ]),
        ], 0..40),
        answers in prop::collection::vec("/[a-c]{0,3}", 0..6),
    ) {
        let mut form = form();
        for code in keys {
            if let FormKey::Stay(effects) = press(&mut form, code) {
                for effect in effects {
                    let Effect::Fetch(Fetch::Folders { path }) = effect else { panic!("{effect:?}") };
                    prop_assert!(path.starts_with('/'));
                    form.folders_came(&path, Ok(answers.clone()));
                }
            }
            let list = form.completion.list().len();
            prop_assert!(form.completion.place().is_none_or(|at| at < list));
            prop_assert!(!form.hints().is_empty());
        }
    }
}
