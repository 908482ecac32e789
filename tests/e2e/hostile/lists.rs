//! The seccomp lists against the engine's own, by trying every system call under each.

use e2e::{
    instance::{text, worker_image},
    root,
};
use nix::libc;
use std::{collections::BTreeSet, process::Command};

/// Tries each number in a child with arguments that make no sense, and prints those that were not
/// denied. A child that is stopped by a signal got through as well.
const TRY: &str = r#"
my %skip = map { $_ => 1 } @ARGV;
for my $number (0 .. 470) {
    next if $skip{$number};
    my $pid = fork;
    if (!$pid) {
        open(STDOUT, '>', '/dev/null');
        alarm 2;
        $! = 0;
        my $result = syscall($number, -1, -1, -1, -1, -1, -1);
        my $errno = $! + 0;
        kill 9, $$ unless $result == -1 && ($errno == 1 || $errno == 38);
        exec '/bin/true';
        kill 15, $$;
    }
    waitpid($pid, 0);
    print "$number\n" if $?;
}
"#;

/// The numbers that get through under a list; `None` is the engine's own.
fn passing(list: Option<&str>) -> BTreeSet<u32> {
    let image = worker_image();
    let mut args = vec!["run", "--rm", "--network", "none", "--user", "1000:1000"];
    args.extend(["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
    let file = list.map(|name| root().join("volumes/seccomp").join(format!("{name}.json")));
    let option = file.map(|file| format!("seccomp={}", file.display()));
    if let Some(option) = &option {
        args.extend(["--security-opt", option.as_str()]);
    }
    args.extend([image.as_str(), "perl", "-e", TRY]);
    // These make a second process out of the one that tries, or a ruin.
    let skip = [
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_rt_sigreturn,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork,
    ];
    let skip = skip.map(|number| number.to_string());
    args.extend(skip.iter().map(String::as_str));
    let output = Command::new("docker").args(&args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .map(|line| line.parse().unwrap())
        .collect()
}

#[test]
fn no_system_call_is_allowed_in_strict_that_the_engine_denies() {
    let usual = passing(None);
    let strict = passing(Some("strict"));
    let looser: Vec<_> = strict.difference(&usual).collect();
    assert!(looser.is_empty(), "numbers {looser:?}");
    let tighter: Vec<_> = usual.difference(&strict).collect();
    println!(
        "{} of 471 get through under the engine's list, {} under strict; denied besides: {tighter:?}",
        usual.len(),
        strict.len()
    );
    assert!(strict.len() > 200 && !tighter.is_empty());
    // The looser lists are looser where they say so.
    let nested = passing(Some("nested-sandbox"));
    let unshare = u32::try_from(libc::SYS_unshare).unwrap();
    assert!(nested.contains(&unshare) && !strict.contains(&unshare));
    let build = passing(Some("build"));
    assert!(build.is_superset(&strict));
    let beyond: Vec<_> = build.difference(&usual).collect();
    assert!(beyond.is_empty(), "numbers {beyond:?}");
}
