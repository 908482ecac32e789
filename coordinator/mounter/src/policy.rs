//! Which folders of the host may be projects. Owns the rules, and knows no I/O. Never asked about a path
//! that was not canonicalised in the engine's mount namespace: the mounter does that first, and opens
//! again without following links afterwards.

use std::{
    ffi::OsStr,
    path::{Component, Path, PathBuf},
};

/// A refusal: which rule, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule's name, stable: `root`, `kernel`, `system`, `shared`, `home`, `secrets`, `roots`,
    /// or the name given with a refused folder.
    pub rule: String,
    /// For people.
    pub message: String,
}

/// What the policy is checked against; every path canonical.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// When not empty, projects must be in one of these.
    pub roots: Vec<PathBuf>,
    /// Folders that soft rules let through.
    pub allow: Vec<PathBuf>,
    /// Refused with all below and all above, each with its rule's name.
    pub refuse: Vec<(PathBuf, String)>,
    /// Home folders besides `/root` and `/home/X`.
    pub homes: Vec<PathBuf>,
}

/// Refused with everything below, always.
const KERNEL: [&str; 8] = [
    "/etc", "/proc", "/sys", "/dev", "/boot", "/run", "/var/run", "/efi",
];

/// The system's own: refused with everything below unless allowed.
const SYSTEM: [&str; 15] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/lost+found",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/kubelet",
    "/var/log",
    "/var/spool",
    "/var/cache",
];

/// They hold many people's and programs' things: refused themselves unless allowed, what is in
/// them is not.
const SHARED: [&str; 10] = [
    "/home", "/var", "/var/lib", "/var/tmp", "/var/opt", "/opt", "/tmp", "/mnt", "/media", "/srv",
];

/// Folders with keys.
const SECRETS: [&str; 3] = [".ssh", ".gnupg", ".aws"];

/// Judges a **canonical** path.
///
/// Hard rules hold always. Soft rules (system folders, homes, secrets, folders that hold everyone's
/// things) give way to `allow`, when the allowed folder is itself what the rule is about or below
/// it: allowing a home does not allow its `.ssh`.
///
/// # Errors
/// [`Refusal`] with the first rule that refuses it, hard rules first.
pub fn check(project: &Path, rules: &Rules) -> Result<(), Refusal> {
    let shown = podbay_model::model::HostPath::new(project);
    let refuse = |rule: &str, why: String| {
        Err(Refusal {
            rule: rule.to_owned(),
            message: format!("{shown} is refused by the rule `{rule}`: {why}"),
        })
    };
    let plain = project.is_absolute()
        && project
            .components()
            .all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    if !plain {
        return refuse("absolute", "give an absolute path without `..`".into());
    }
    if project == Path::new("/") {
        let why = "it is the whole file system; give the project's own folder";
        return refuse("root", why.into());
    }
    if let Some(dir) = KERNEL.iter().find(|dir| project.starts_with(dir)) {
        let why = format!("nothing in {dir} can be a project; keep it in a home or a data folder");
        return refuse("kernel", why);
    }
    for (dir, rule) in &rules.refuse {
        if project.starts_with(dir) || dir.starts_with(project) {
            let dir = podbay_model::model::HostPath::new(dir.as_path());
            let why = format!("it is, holds or is in {dir}; keep projects elsewhere");
            return refuse(rule, why);
        }
    }
    let allowed = |subject: &Path| {
        let mut allow = rules.allow.iter();
        allow.any(|a| project.starts_with(a) && a.starts_with(subject))
    };
    if let Some(subject) = secret(project)
        && !allowed(&subject)
    {
        let why = "it holds keys; give another folder".to_owned();
        return refuse("secrets", why);
    }
    if let Some(home) = home_in(project, &rules.homes)
        && !allowed(&home)
    {
        let why = "a home holds keys and logins; give a project's folder inside it, or name it \
                   in `workspace.allow`";
        return refuse("home", why.into());
    }
    let system = SYSTEM.iter().find(|dir| project.starts_with(dir));
    if let Some(dir) = system
        && !allowed(Path::new(dir))
    {
        let why = format!(
            "{dir} belongs to the system; keep it elsewhere, or name it in `workspace.allow`"
        );
        return refuse("system", why);
    }
    if SHARED.iter().any(|dir| project == Path::new(dir)) && !allowed(project) {
        let why = "it holds more than one project; give a folder inside it, or name it in \
                   `workspace.allow`";
        return refuse("shared", why.into());
    }
    if !rules.roots.is_empty() && !rules.roots.iter().any(|root| project.starts_with(root)) {
        let roots: Vec<String> = rules
            .roots
            .iter()
            .map(|root| podbay_model::model::HostPath::new(root.as_path()).to_string())
            .collect();
        let why = format!("projects must be in one of: {}", roots.join(", "));
        return refuse("roots", why);
    }
    Ok(())
}

/// Judges a canonical folder that is to be shown to a person on the way to a project: refused is
/// what no project can be in.
///
/// # Errors
/// [`Refusal`] with the rule that refuses it.
pub fn check_listing(folder: &Path, rules: &Rules) -> Result<(), Refusal> {
    let refuse = |rule: &str| {
        let shown = podbay_model::model::HostPath::new(folder);
        Err(Refusal {
            rule: rule.to_owned(),
            message: format!(
                "nothing in {shown} can be a project: the rule `{rule}` refuses it; keep it in a \
                 home or a data folder"
            ),
        })
    };
    if KERNEL.iter().any(|dir| folder.starts_with(dir)) {
        return refuse("kernel");
    }
    if let Some((_, rule)) = rules.refuse.iter().find(|(dir, _)| folder.starts_with(dir)) {
        return refuse(rule);
    }
    // An allowed folder is shown, with what is in it and what leads to it.
    let allowed = |subject: &Path| {
        let mut allow = rules.allow.iter();
        allow.any(|a| a.starts_with(subject) && (folder.starts_with(a) || a.starts_with(folder)))
    };
    if secret(folder).is_some_and(|subject| !allowed(&subject)) {
        return refuse("secrets");
    }
    let system = SYSTEM.iter().find(|dir| folder.starts_with(dir));
    if system.is_some_and(|dir| !allowed(Path::new(dir))) {
        return refuse("system");
    }
    let towards = |root: &PathBuf| folder.starts_with(root) || root.starts_with(folder);
    if !rules.roots.is_empty() && !rules.roots.iter().any(towards) {
        return refuse("roots");
    }
    Ok(())
}

/// The folder with keys that the project is or is in.
fn secret(project: &Path) -> Option<PathBuf> {
    project
        .ancestors()
        .filter(|dir| {
            dir.file_name()
                .is_some_and(|name| SECRETS.iter().any(|s| OsStr::new(s) == name))
        })
        .last()
        .map(Path::to_owned)
}

/// What the home rule is about: the project itself, when it is a home or holds one.
fn home_in(project: &Path, homes: &[PathBuf]) -> Option<PathBuf> {
    let well_known = project == Path::new("/root") || project.parent() == Some(Path::new("/home"));
    let listed = homes.iter().any(|home| home.starts_with(project));
    (well_known || listed).then(|| project.to_owned())
}

/// The homes of people (and root) in the text of a passwd file: uid 0 and 1000 to 59999, absolute
/// and not `/`.
#[must_use]
pub fn homes_of(passwd: &[u8]) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    passwd
        .split(|b| *b == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|b| *b == b':');
            let uid: u32 = std::str::from_utf8(fields.nth(2)?).ok()?.parse().ok()?;
            let home = Path::new(OsStr::from_bytes(fields.nth(2)?));
            let person = uid == 0 || (1000..60_000).contains(&uid);
            (person && home.is_absolute() && home != Path::new("/")).then(|| home.to_owned())
        })
        .collect()
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
