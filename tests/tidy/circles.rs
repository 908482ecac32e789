//! No two source files need one another, directly or over others.
//!
//! The files of a crate's `src` are the nodes. A file has an edge to each other file that defines
//! something it names, in a `use` or in a path in code. A path is followed to the file of its
//! last module, and through a `pub use` there to where the thing is defined: so a facade is no
//! detour, and only what is written in a `mod.rs` itself is an edge to it. A `mod` declaration, what
//! only tests have, and calls of methods are no edges.

#![allow(
    clippy::indexing_slicing,
    reason = "numbers of files, which the same function gave"
)]

use super::{
    paths::{self, Named, Source},
    tree::{File, Finding, Tree},
};
use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

/// A module, from its crate's root.
type Module<'a> = Vec<&'a str>;

/// A crate's files, and what each names.
struct Package<'a> {
    files: Vec<&'a File>,
    own: Vec<Module<'a>>,
    sources: Vec<Source<'a>>,
    /// The file of each module, inline ones included.
    modules: BTreeMap<Module<'a>, usize>,
    /// What the `use`s of a module bind.
    bound: BTreeMap<(Module<'a>, &'a str), Module<'a>>,
}

/// A program whose files are in no `src`.
const PROGRAM: &str = "coordinator/bench/";

/// The crates of a tree: what is below a `src`, and [`PROGRAM`].
fn packages(tree: &Tree) -> Vec<Package<'_>> {
    let mut sorted: BTreeMap<&str, Vec<(Module<'_>, &File)>> = BTreeMap::new();
    for file in tree.rust().filter(|file| !file.is_test()) {
        let (package, inside, root) = if let Some(inside) = file.path.strip_prefix(PROGRAM) {
            (PROGRAM, inside, "main")
        } else if let Some((package, inside)) = file.path.split_once("/src/") {
            (package, inside, "lib")
        } else {
            continue;
        };
        let inside = inside.strip_suffix(".rs").unwrap_or(inside);
        let inside = inside.strip_suffix("/mod").unwrap_or(inside);
        let own = match inside {
            inside if inside == root => Vec::new(),
            // A program beside the library, which nothing of the library can name.
            "main" => continue,
            inside => inside.split('/').collect(),
        };
        sorted.entry(package).or_default().push((own, file));
    }
    sorted.into_values().map(Package::of).collect()
}

impl<'a> Package<'a> {
    fn of(mut files: Vec<(Module<'a>, &'a File)>) -> Self {
        let mut all: BTreeMap<Module<'a>, Source<'a>> = files
            .iter()
            .map(|(own, file)| (own.clone(), paths::read(&file.text)))
            .collect();
        let tests: Vec<Module<'a>> = all
            .iter()
            .flat_map(|(own, source)| {
                let tests = source.modules.iter().filter(|module| module.test);
                tests.map(|module| [own.as_slice(), &module.path].concat())
            })
            .collect();
        files.retain(|(own, _)| !tests.iter().any(|test| own.starts_with(test)));
        let mut package = Self {
            sources: files
                .iter()
                .map(|(own, _)| all.remove(own).unwrap_or_default())
                .collect(),
            files: files.iter().map(|(_, file)| *file).collect(),
            own: files.into_iter().map(|(own, _)| own).collect(),
            modules: BTreeMap::new(),
            bound: BTreeMap::new(),
        };
        for (at, own) in package.own.iter().enumerate() {
            package.modules.insert(own.clone(), at);
            let inline = package.sources[at].modules.iter();
            for module in inline.filter(|module| module.inline && !module.test) {
                let path = [own.as_slice(), &module.path].concat();
                package.modules.insert(path, at);
            }
        }
        package.bind();
        package
    }

    /// Notes what each `use` binds, before any is followed.
    fn bind(&mut self) {
        for (own, source) in self.own.iter().zip(&self.sources) {
            for named in source.paths.iter().filter(|named| !named.test) {
                let Some(binds) = named.binds else { continue };
                if let Some(path) = self.written(own, named) {
                    let module = [own.as_slice(), &named.inside].concat();
                    self.bound.insert((module, binds), path);
                }
            }
        }
    }

    /// A path from the root, as it is written; a first word that is a name is that of a child module.
    fn written(&self, own: &[&'a str], named: &Named<'a>) -> Option<Module<'a>> {
        named.absolute(own).or_else(|| {
            let here = [own, &named.inside, named.words.get(..1)?].concat();
            self.modules.contains_key(&here).then(|| {
                let rest = named.words.get(1..).unwrap_or_default();
                [here.as_slice(), rest].concat()
            })
        })
    }

    /// The file that defines what a path from the root leads to, followed through `use`s.
    fn defines(&self, path: &[&'a str], steps: usize) -> Option<usize> {
        let known = (0..=path.len())
            .rev()
            .find(|&length| self.modules.contains_key(&path[..length]))?;
        let (module, rest) = path.split_at(known);
        let here = self.modules.get(module).copied();
        let Some((name, behind)) = rest.split_first() else {
            return here;
        };
        if steps == 0 {
            return here;
        }
        if let Some(target) = self.bound.get(&(module.to_vec(), *name)) {
            let path = [target.as_slice(), behind].concat();
            return self.defines(&path, steps - 1);
        }
        here
    }

    /// The files that a file needs, each with the first line that says so.
    fn needs(&self, at: usize) -> BTreeMap<usize, usize> {
        let mut found = BTreeMap::new();
        let own = &self.own[at];
        for named in self.sources[at].paths.iter().filter(|named| !named.test) {
            let path = self.written(own, named).or_else(|| {
                let module = [own.as_slice(), &named.inside].concat();
                let target = self.bound.get(&(module, *named.words.first()?))?;
                Some([target.as_slice(), named.words.get(1..)?].concat())
            });
            let file = path.and_then(|path| self.defines(&path, MAX_STEPS));
            if let Some(file) = file.filter(|file| *file != at) {
                found.entry(file).or_insert(named.line);
            }
        }
        found
    }
}

/// How many `use`s a path is followed through.
const MAX_STEPS: usize = 8;

/// The shortest way from a file back to itself, over the files that follow it in the order of paths;
/// empty where there is none. So each circle is found once, at the first of its files.
fn circle(edges: &[BTreeMap<usize, usize>], first: usize) -> Vec<usize> {
    let mut from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([first]);
    while let Some(at) = open.pop_front() {
        for next in edges[at].keys().copied().filter(|next| *next >= first) {
            if next == first {
                let mut way = vec![at];
                while let Some(before) = way.last().and_then(|last| from.get(last)) {
                    way.push(*before);
                }
                way.reverse();
                return way;
            }
            if let Entry::Vacant(entry) = from.entry(next) {
                entry.insert(at);
                open.push_back(next);
            }
        }
    }
    Vec::new()
}

/// No circle in any crate.
pub fn none(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in packages(tree) {
        let edges: Vec<_> = (0..package.files.len())
            .map(|at| package.needs(at))
            .collect();
        for first in 0..edges.len() {
            let way = circle(&edges, first);
            if way.is_empty() {
                continue;
            }
            let next = way.iter().skip(1).chain([&first]);
            let steps: Vec<String> = way
                .iter()
                .zip(next)
                .map(|(from, to)| {
                    let line = edges[*from].get(to).copied().unwrap_or_default();
                    let (from, to) = (&package.files[*from].path, &package.files[*to].path);
                    format!("{from}:{line} needs {to}")
                })
                .collect();
            found.push(Finding::about(
                &package.files[first].path,
                format!("needs itself in a circle: {}", steps.join(", ")),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let named: Vec<(String, &str)> = files
            .iter()
            .map(|(path, text)| (format!("x/src/{path}"), *text))
            .collect();
        let files: Vec<(&str, &str)> = named.iter().map(|(p, t)| (p.as_str(), *t)).collect();
        none(&Tree::of(&files))
            .iter()
            .map(Finding::to_string)
            .collect()
    }

    #[test]
    fn two_files_that_need_one_another_are_found_once() {
        let bad = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "struct B;\nfn f() -> super::a::A {}"),
        ];
        assert_eq!(
            circles(&bad),
            [
                "x/src/a.rs: needs itself in a circle: x/src/a.rs:1 needs x/src/b.rs, \
              x/src/b.rs:2 needs x/src/a.rs"
            ]
        );
        let one_way = [bad[0], bad[1], ("b.rs", "struct B;")];
        assert_eq!(circles(&one_way), [""; 0]);
    }

    #[test]
    fn a_circle_over_others_is_found() {
        let found = circles(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            (
                "a.rs",
                "use crate::b::{self, B}; use self::inner::X; mod inner { use super::Y; }",
            ),
            ("b.rs", "use super::*; use crate::c; fn f() { c::g() }"),
            ("c/mod.rs", "mod d; fn g() { d::h() }"),
            ("c/d.rs", "use super::super::a::A;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("x/src/c/d.rs:1 needs x/src/a.rs"),
            "{found:?}"
        );
    }

    #[test]
    fn a_facade_is_looked_through() {
        let facade = ("m/mod.rs", "mod a; mod b; pub use a::A; use b::B;");
        let through = [
            ("lib.rs", "pub mod m; pub use m::A as Z;"),
            facade,
            ("m/a.rs", "use crate::m::B; use super::B as C;"),
            ("m/b.rs", "struct B;"),
        ];
        assert_eq!(circles(&through), [""; 0]);
        // What is written in the facade itself is needed of it.
        let own = ("m/mod.rs", "mod a; pub use a::A; fn f() {}");
        let through = [("lib.rs", "pub mod m;"), own, ("m/a.rs", "use super::f;")];
        assert_eq!(circles(&through).len(), 1);
        let back = [
            through[0],
            facade,
            ("m/a.rs", "use crate::m::B;"),
            ("m/b.rs", "fn f() { crate::m::A::new() }"),
        ];
        assert_eq!(circles(&back).len(), 1);
    }

    #[test]
    fn declarations_visibility_and_tests_are_no_need() {
        let good = [
            ("lib.rs", "mod a; #[cfg(test)] mod only;"),
            (
                "a.rs",
                "mod b; pub(in crate::a) fn f() {}\n#[cfg(test)]\nmod tests { use super::b::B; }",
            ),
            ("a/b.rs", "use super::f;"),
            ("only.rs", "use crate::a; use crate::only::x;"),
            ("a_tests.rs", "use crate::a; use crate::b;"),
            ("main.rs", "use crate::a;"),
        ];
        assert_eq!(circles(&good), [""; 0]);
    }

    #[test]
    fn crates_are_apart_and_a_program_has_its_own_root() {
        let files = [
            ("x/src/a.rs", "use crate::b::B;"),
            ("x/src/b.rs", ""),
            ("y/src/b.rs", "use crate::a::A;"),
            ("y/src/a.rs", ""),
            ("coordinator/bench/a.rs", "use crate::B;"),
            ("coordinator/bench/main.rs", "mod a; use a::A; struct B;"),
        ];
        let found = none(&Tree::of(&files));
        let places: Vec<_> = found.iter().map(|found| found.place.as_str()).collect();
        assert_eq!(places, ["coordinator/bench/a.rs"]);
    }
}
