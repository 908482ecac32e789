//! The table of bounds in ARCHITECTURE.md is complete and true.
//!
//! What holds bytes of somebody else (a queue, a map, a buffer, a channel) is found in the sources of
//! the boundary; each such type must be in a row of the table, with a constant that exists, what
//! happens when it is full, and a test that exists. Reads without a limit are found as well.

use super::{
    lex::{Kind, Token, tokens},
    tree::{File, Finding, Tree},
};
use std::collections::BTreeSet;

const DOCUMENT: &str = "ARCHITECTURE.md";
const BEGIN: &str = "<!-- bounds:begin -->";
const END: &str = "<!-- bounds:end -->";

/// Where bytes from outside are held: from workers, clients, files that workers write.
const BOUNDARY: [&str; 12] = [
    "coordinator/mounter/src/",
    "coordinator/netguard/src/",
    "coordinator/src/agent/",
    "coordinator/src/api/",
    "coordinator/src/cli/attach/",
    "coordinator/src/client/",
    "coordinator/src/daemon/",
    "coordinator/src/guard_client/",
    "coordinator/src/store/",
    "coordinator/src/mounter_client/",
    "worker-agent/protocol/src/",
    "worker-agent/src/",
];

/// Types that grow.
const HOLDERS: [&str; 17] = [
    "BTreeMap",
    "BTreeSet",
    "BinaryHeap",
    "BufReader",
    "BytesMut",
    "FrameDecoder",
    "HashMap",
    "HashSet",
    "JoinSet",
    "Receiver",
    "Semaphore",
    "Sender",
    "SyncSender",
    "UnboundedReceiver",
    "UnboundedSender",
    "VecDeque",
    "broadcast",
];

/// Messages whose sizes are those of the frame or body that carries them: files, one row each.
const WIRE: [&str; 5] = [
    "coordinator/model/src/wire/",
    "coordinator/mounter/src/rpc.rs",
    "coordinator/mounter/src/wire.rs",
    "coordinator/netguard/src/wire.rs",
    "worker-agent/protocol/src/",
];

/// Types of the boundary that grow and hold nothing from outside, and why.
const OWN: [(&str, &str); 7] = [
    ("Accounts", "users that the coordinator has sessions run as"),
    ("Daemon", "a flag that tells tasks to stop, and a count"),
    ("Meta", "the docker contexts of the user's own home"),
    ("ContainerInputs", "one entry a profile and image"),
    ("Reactor", "one entry a descriptor that is in another row"),
    ("Resolved", "a request in another shape"),
    ("Journal", "digests, in the row of the journal"),
];

/// Calls that read as much as there is.
const READS: [&str; 5] = [
    "read_to_end",
    "read_to_string",
    "read_until",
    "read_line",
    "unbounded_channel",
];

/// Where [`READS`] are right without a limit at the call, and why.
const UNLIMITED_READS: [(&str, &str); 9] = [
    (
        "coordinator/mounter/src/host/idmap.rs",
        "a process's id map: 340 lines at most (user_namespaces(7))",
    ),
    (
        "coordinator/netguard/src/peer.rs",
        "the kernel's table, where it does not tell of single sockets",
    ),
    (
        "coordinator/src/client/engine_address.rs",
        "files of the docker command in the user's own home",
    ),
    (
        "coordinator/src/client/transport/tls.rs",
        "the user's own token file",
    ),
    (
        "coordinator/src/daemon/engine/watch.rs",
        "a note of the coordinator's own",
    ),
    (
        "coordinator/src/store/worker_folder.rs",
        "a token that the coordinator wrote, read-only in the worker",
    ),
    (
        "worker-agent/src/agent/cgroup.rs",
        "numbers of the kernel's",
    ),
    (
        "worker-agent/src/connection/dialer.rs",
        "a token that the coordinator wrote, read-only in the worker",
    ),
    (
        "worker-agent/src/process/procs.rs",
        "a process's state and status: one page each (proc(5))",
    ),
];

/// One row of the table.
struct Row<'a> {
    line: usize,
    cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// What stands between backticks in a cell.
    fn code(&self, column: usize) -> impl Iterator<Item = &'a str> {
        let cell = self.cells.get(column).copied().unwrap_or_default();
        cell.split('`').skip(1).step_by(2)
    }
}

fn rows(document: &File) -> Vec<Row<'_>> {
    document
        .lines()
        .skip_while(|(_, line)| *line != BEGIN)
        .take_while(|(_, line)| *line != END)
        .filter(|(_, line)| line.starts_with('|'))
        .skip(2)
        .map(|(line, text)| Row {
            line,
            cells: text.trim_matches('|').split('|').map(str::trim).collect(),
        })
        .collect()
}

/// Every holder of outside bytes has a row, and every row is about something that exists.
pub fn table(tree: &Tree) -> Vec<Finding> {
    let Some(document) = tree.files.iter().find(|file| file.path == DOCUMENT) else {
        return vec![Finding::about(DOCUMENT, "is missing")];
    };
    let rows = rows(document);
    if rows.is_empty() {
        return vec![Finding::about(
            DOCUMENT,
            format!("has no table of bounds between {BEGIN} and {END}"),
        )];
    }
    let mut found = Vec::new();
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| row.code(0)).collect();
    for file in boundary(tree) {
        for (name, line) in holders(&file.text) {
            let own = OWN.iter().any(|(own, _)| *own == name);
            if !own && !named.iter().any(|key| names(key, &file.path, name)) {
                found.push(Finding::at(
                    file,
                    line,
                    format!("`{name}` holds what can grow and is in no row of the table of bounds"),
                ));
            }
        }
    }
    for wire in WIRE {
        if !named.contains(wire) {
            found.push(Finding::about(
                DOCUMENT,
                format!("`{wire}` is in no row of the table of bounds"),
            ));
        }
    }
    let defined = definitions(tree);
    for row in &rows {
        found.extend(check(document, row, &defined));
    }
    found
}

fn check(document: &File, row: &Row<'_>, defined: &[Definition<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut wrong = |why: String| found.push(Finding::at(document, row.line, why));
    if row.cells.len() != 5 || row.cells.iter().any(|cell| cell.is_empty()) {
        wrong("a row of the table of bounds has five cells, none empty".to_owned());
    }
    let has = |what: &str, key: &str| {
        let mut all = defined.iter();
        all.any(|found| found.what == what && names(key, found.path, found.name))
    };
    for constant in row.code(2).filter(|key| !has("const", key)) {
        wrong(format!("there is no constant `{constant}`"));
    }
    let mut tests = 0;
    for test in row.code(4) {
        tests += 1;
        if !has("fn", test) {
            wrong(format!("there is no test `{test}`"));
        }
    }
    if tests == 0 {
        wrong("names no test".to_owned());
    }
    found
}

/// Whether a key of the table names what a file defines: `Name`, or `part/of/path::Name` where others
/// are called the same.
fn names(key: &str, path: &str, name: &str) -> bool {
    let Some((place, last)) = key.rsplit_once("::") else {
        return key == name;
    };
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    last == name
        && path
            .strip_suffix(place)
            .is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

fn boundary(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.rust().filter(|file| {
        !file.is_test() && BOUNDARY.iter().any(|folder| file.path.starts_with(folder))
    })
}

/// Structs and enums with a field of a type that grows, outside of `mod tests`.
fn holders(source: &str) -> Vec<(&str, usize)> {
    let tokens = tokens(before_tests(source));
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if !matches!(token.kind, Kind::Word("struct" | "enum")) {
            continue;
        }
        let Some(Token {
            kind: Kind::Word(name),
            line,
        }) = tokens.get(at + 1)
        else {
            continue;
        };
        let grows = body(tokens.get(at + 2..).unwrap_or_default())
            .iter()
            .any(|token| matches!(token.kind, Kind::Word(word) if HOLDERS.contains(&word)));
        if grows {
            found.push((*name, *line));
        }
    }
    found
}

fn before_tests(source: &str) -> &str {
    source
        .find("\n#[cfg(test)]\nmod ")
        .and_then(|at| source.get(..at))
        .unwrap_or(source)
}

/// From a type's name to the end of its fields.
fn body<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Sign('{' | '(') => depth += 1,
            Kind::Sign('}' | ')') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return tokens.get(..at).unwrap_or_default();
                }
            }
            Kind::Sign(';') if depth == 0 => return tokens.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    tokens
}

/// A constant or a function.
struct Definition<'a> {
    what: &'a str,
    name: &'a str,
    path: &'a str,
}

fn definitions(tree: &Tree) -> Vec<Definition<'_>> {
    let mut found = Vec::new();
    for file in tree.rust() {
        let tokens = tokens(&file.text);
        for pair in tokens.windows(2) {
            if let [
                Token {
                    kind: Kind::Word(what @ ("const" | "fn")),
                    ..
                },
                Token {
                    kind: Kind::Word(name),
                    ..
                },
            ] = pair
            {
                let path = &file.path;
                found.push(Definition { what, name, path });
            }
        }
    }
    found
}

/// No read at the boundary without a limit.
pub fn reads(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in boundary(tree) {
        if UNLIMITED_READS.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        let source = tokens(before_tests(&file.text));
        for (at, token) in source.iter().enumerate() {
            let Kind::Word(word) = token.kind else {
                continue;
            };
            let limited = source
                .get(at.saturating_sub(40)..at)
                .unwrap_or_default()
                .iter()
                .rev()
                .take_while(|before| !matches!(before.kind, Kind::Sign(';' | '{' | '}')))
                .any(|before| before.kind == Kind::Word("take"));
            if READS.contains(&word) && !limited {
                found.push(Finding::at(
                    file,
                    token.line,
                    format!("`{word}` without `take` reads whatever there is"),
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "| `Queue` | a worker | `MAX_FRAMES` frames | it waits | `it_waits` |\n";
    const SOURCE: &str = "struct Queue { frames: VecDeque<u8> }\nconst MAX_FRAMES: usize = 1;\n\
                          #[cfg(test)]\nmod tests { struct Other { all: HashMap<u8, u8> }\n\
                          #[test]\nfn it_waits() {} }\n";

    fn findings(rows: &str, source: &str) -> Vec<String> {
        let wire = WIRE.map(|path| format!("`{path}` "));
        let wire = format!(
            "| {} | all | `MAX_FRAMES` | refused | `it_waits` |\n",
            wire.concat()
        );
        let document = format!("{BEGIN}\n| a | b | c | d | e |\n|-|-|-|-|-|\n{wire}{rows}{END}\n");
        let tree = Tree::of(&[
            (DOCUMENT, &document),
            ("coordinator/src/agent/queue.rs", source),
        ]);
        table(&tree).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_holder_without_a_row_is_found() {
        assert_eq!(findings(ROW, SOURCE), [""; 0]);
        let missing = findings("", SOURCE);
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert!(missing[0].contains("queue.rs:1: `Queue`"), "{missing:?}");
    }

    #[test]
    fn a_row_about_nothing_is_found() {
        let row = ROW.replace("MAX_FRAMES", "MAX_OTHER");
        assert!(findings(&row, SOURCE)[0].contains("MAX_OTHER"));
        let row = ROW.replace("it_waits", "nobody_wrote_it");
        assert!(findings(&row, SOURCE)[0].contains("nobody_wrote_it"));
        let row = ROW.replace("`it_waits`", "by hand");
        assert!(findings(&row, SOURCE)[0].contains("names no test"));
        let row = ROW.replace("it waits", "");
        assert!(findings(&row, SOURCE)[0].contains("none empty"));
    }

    #[test]
    fn types_of_one_name_are_told_apart_by_their_path() {
        let path = "coordinator/src/daemon/observe/change_counts.rs";
        assert!(names(
            "daemon/observe/change_counts::Counts",
            path,
            "Counts"
        ));
        assert!(names(
            "daemon::State",
            "coordinator/src/daemon/mod.rs",
            "State"
        ));
        assert!(!names("egress/count::Counts", path, "Counts"));
        assert!(!names("serve/change_counts::Counts", path, "Counts"));
        assert!(!names("Count", path, "Counts"));
    }

    #[test]
    fn reads_without_a_limit_are_found() {
        let check = |text: &str| reads(&Tree::of(&[("worker-agent/src/x.rs", text)])).len();
        assert_eq!(check("fn f() { file.take(9).read_to_end(&mut all)?; }"), 0);
        assert_eq!(
            check("fn f() { let n = a.take(9); b.read_to_end(&mut all)?; }"),
            1
        );
        assert_eq!(check("fn f() { mpsc::unbounded_channel() }"), 1);
        let outside = Tree::of(&[("coordinator/src/model/x.rs", "fn f() { a.read_line(b) }")]);
        assert_eq!(reads(&outside), []);
    }
}
