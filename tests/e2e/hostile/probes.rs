//! What a hostile session tries. Each probe is a few lines of Perl (part of every Debian) that end
//! with `breach` or `blocked`; where the kernel decides, `call` tells from the error whether it got
//! past the permission.

use nix::libc;

/// Where a probe is known to succeed.
const NOWHERE: &[&str] = &[];
const BUILD: &[&str] = &["build"];
/// The profiles of the test leave `egress` open, as it is unless something else is said.
const EVERYWHERE: &[&str] = &["strict", "build", "nested-sandbox"];
const NESTED: &[&str] = &["nested-sandbox"];

/// What a session that was started as root in a strict worker succeeds in: it is root there, and the
/// network's rules, which go by uid, do not know it from the parent.
pub const OPEN_TO_ROOT: [&str; 19] = [
    "connecting to a sibling's port",
    "connecting to a listener of the parent's",
    "connecting to the engine's gateway",
    "connecting to the metadata address",
    "the agent's own line to the coordinator",
    "writing the account file",
    "reading the shadow file",
    "reading the worker's token",
    "a file among the recordings",
    "writing the own recording",
    "a set-uid program",
    "the agent's descriptors",
    "a signal to the agent",
    "slowing the agent down",
    "the agent's limits",
    "offering the agent to the OOM killer",
    "becoming root",
    "joining root's group",
    "dropping the groups",
];

/// One attack.
#[derive(Debug)]
pub struct Probe {
    pub name: &'static str,
    pub script: String,
    /// Profiles in which it succeeds, as the README's table says.
    pub residual: &'static [&'static str],
    /// The kernel or the machine may not have what is attacked, so that not even the deliberately
    /// weak container can be: what stands in the way there.
    pub may_be_absent: bool,
}

/// Begins every script.
pub const PRELUDE: &str = r#"
use Socket; use Errno;
$| = 1;
sub breach  { print "BREACH @_\n"; exit 0 }
sub blocked { print "blocked @_\n"; exit 0 }
my %denied = map { $_ => 1 } (1, 13, 38, 93, 97);
sub call {
    my ($number, @args) = @_;
    $! = 0;
    my $result = syscall($number, @args);
    my $errno = $! + 0;
    breach("it returned $result") if $result != -1;
    blocked("$!") if $denied{$errno};
    breach("it got as far as: $!");
}
sub try_call { my ($number, @args) = @_; $! = 0; return syscall($number, @args) }
sub writes {
    for my $path (@_) {
        next unless -e $path;
        # Opened and closed: what would be written is never written.
        if (open(my $file, '>>', $path)) { close $file; breach("$path can be written") }
        blocked("$path: $!");
    }
    blocked("not there: @_");
}
sub reads {
    for my $path (@_) {
        open(my $file, '<', $path) or blocked("$path: $!");
        my $got = sysread($file, my $bytes, 64);
        blocked("$path: $!") unless defined $got;
        blocked("$path: nothing in it") unless $got;
        breach("$path can be read");
    }
}
sub creates {
    my ($folder) = @_;
    my $path = "$folder/.probe-$$";
    if (open(my $file, '>', $path)) { close $file; unlink $path; breach("a file in $folder") }
    blocked("$folder: $!");
}
sub connects {
    my ($family, $address) = @_;
    socket(my $socket, $family, SOCK_STREAM, 0) or blocked("socket: $!");
    local $SIG{ALRM} = sub { blocked('no answer') };
    alarm 3;
    connect($socket, $address) or blocked("$!");
    breach('connected');
}
sub tcp { connects(AF_INET, pack_sockaddr_in($_[1], inet_aton($_[0]))) }
sub unix_socket { connects(AF_UNIX, pack_sockaddr_un($_[0])) }
sub listens {
    my ($port) = @_;
    socket(my $socket, AF_INET, SOCK_STREAM, 0) or blocked("socket: $!");
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($socket, pack_sockaddr_in($port, inet_aton('127.0.0.1'))) or blocked("$!");
    breach("listens on port $port");
}
my $state = '/var/lib/podbay';
my $victim = "$state/workers/$ENV{VICTIM_ID}";
"#;

fn probe(name: &'static str, script: impl Into<String>) -> Probe {
    Probe {
        name,
        script: script.into(),
        residual: NOWHERE,
        may_be_absent: false,
    }
}

impl Probe {
    fn residual(mut self, profiles: &'static [&'static str]) -> Self {
        self.residual = profiles;
        self
    }

    fn may_be_absent(mut self) -> Self {
        self.may_be_absent = true;
        self
    }
}

/// A system call with arguments that are wrong in a way the kernel looks at after the permission.
fn call(name: &'static str, number: libc::c_long, args: &str) -> Probe {
    probe(name, format!("call({number}{args});"))
}

/// All of them.
pub fn all() -> Vec<Probe> {
    let mut all = network();
    all.extend(files());
    all.extend(processes());
    all.extend(kernel());
    all
}

fn network() -> Vec<Probe> {
    let socket = libc::SYS_socket;
    vec![
        probe(
            "connecting to a sibling's port",
            "tcp('127.0.0.1', $ENV{VICTIM_PORT});",
        )
        // The rules of the network keep the weak container out as well.
        .may_be_absent(),
        probe(
            "connecting to a listener of the parent's",
            "tcp('127.0.0.1', $ENV{PARENT_PORT});",
        ),
        probe(
            "connecting to the engine's gateway",
            "tcp($ENV{GATEWAY}, $ENV{GATEWAY_PORT});",
        )
        .residual(EVERYWHERE),
        probe(
            "connecting to the metadata address",
            "tcp('169.254.169.254', 80);",
        ),
        probe(
            "a sibling's abstract socket",
            "unix_socket(\"\\0\".$ENV{VICTIM_ABSTRACT});",
        )
        .residual(BUILD),
        probe(
            "taking a port of a sibling's",
            "listens($ENV{VICTIM_PORT} + 7);",
        )
        .residual(BUILD),
        probe("taking a well-known port", "listens(80);").residual(BUILD),
        probe("taking a port of the parent's", "listens(8080);").residual(BUILD),
        call("a raw socket", socket, ", 2, 3, 1"),
        call("a packet socket", socket, ", 17, 3, 768"),
        call("a netfilter socket", socket, ", 16, 3, 12"),
        call("an audit socket", socket, ", 16, 3, 9"),
        call("a socket to the hypervisor", socket, ", 40, 1, 0").may_be_absent(),
        call("the kernel's crypto sockets", socket, ", 38, 5, 0").may_be_absent(),
        probe(
            "changing a network interface",
            format!(
                "socket(my $s, AF_INET, SOCK_DGRAM, 0); my $lo = pack('a16 s x22', 'lo', 0x49); \
                 call({}, fileno($s), 0x8914, $lo);",
                libc::SYS_ioctl
            ),
        ),
        probe(
            "the engine's socket",
            "unix_socket('/var/run/docker.sock');",
        ),
        probe(
            "the coordinator's socket",
            "unix_socket(\"$state/run/podbay.sock\");",
        ),
        probe(
            "the mounter's socket",
            "unix_socket(\"$state/run/mounter.sock\");",
        ),
        probe(
            "the agent's own line to the coordinator",
            "unix_socket('/.podbay/run/agent.sock');",
        ),
    ]
}

fn files() -> Vec<Probe> {
    vec![
        probe("writing the hosts file", "writes('/etc/hosts');"),
        probe("writing resolv.conf", "writes('/etc/resolv.conf');"),
        probe("writing the account file", "writes('/etc/passwd');"),
        probe("reading the shadow file", "reads('/etc/shadow');"),
        probe("reading the worker's token", "reads('/.podbay/run/token');"),
        probe("a file beside the agent's socket", "creates('/.podbay/run');"),
        probe("a file beside the agent's program", "creates('/.podbay/bin');"),
        probe("a file among the recordings", "creates('/.podbay/log');"),
        probe("writing the own recording", "writes(\"/.podbay/log/$ENV{OWN_SESSION}.cast\");"),
        probe("a sibling's home", "reads(\"$victim/home/secret\");"),
        probe("a sibling's recordings", "reads(\"$victim/log/$ENV{VICTIM_SESSION}.cast\");"),
        probe("a sibling's claim record", "reads(\"$victim/worker.json\");"),
        probe("the configuration", "writes(\"$state/config/podbay.toml\");"),
        probe("making a device file", format!(
            "unlink '/tmp/.device'; call({}, -100, '/tmp/.device', 020666, 0x101);",
            libc::SYS_mknodat
        )),
        probe("the machine's memory", format!(
            "try_call({}, -100, '/tmp/.mem', 020600, 0x101); \
             -e '/tmp/.mem' ? (unlink('/tmp/.mem'), breach('made')) : reads('/dev/mem');",
            libc::SYS_mknodat
        )),
        probe("a set-uid program", r#"
pipe(my $from, my $to);
my $pid = fork;
if (!$pid) {
    close $to; open(STDIN, '<&', $from); open(STDOUT, '>', '/dev/null'); open(STDERR, '>', '/dev/null');
    exec '/usr/bin/su', '-c', 'true';
    exit 1;
}
for (1 .. 40) {
    select(undef, undef, undef, 0.05);
    open(my $status, '<', "/proc/$pid/status") or last;
    local $/; my $text = <$status>;
    next unless $text =~ /^Name:\s+su$/m;
    kill 9, $pid;
    $text =~ /^Uid:\s+\d+\s+0\s/m ? breach('it runs as root') : blocked('it runs as its caller');
}
kill 9, $pid;
breach('it ended at once') if $> == 0;
blocked('it did not run');
"#).residual(BUILD),
    ]
}

fn processes() -> Vec<Probe> {
    let number = |n: libc::c_long| n.to_string();
    vec![
        call("tracing the agent", libc::SYS_ptrace, ", 16, 1, 0, 0"),
        call("seizing the agent", libc::SYS_ptrace, ", 0x4206, 1, 0, 0"),
        probe("the agent's memory", "writes('/proc/1/mem');"),
        probe("the agent's environment", "reads('/proc/1/environ');"),
        probe(
            "the agent's root folder",
            "opendir(my $d, '/proc/1/root') ? breach('open') : blocked(\"$!\");",
        ),
        probe(
            "the agent's descriptors",
            "opendir(my $d, '/proc/1/fd') ? breach('open') : blocked(\"$!\");",
        ),
        probe(
            "reading the agent by its number",
            format!(
                "my $b = ' ' x 8; my $local = pack('P Q', $b, 8); my $remote = pack('Q Q', 4096, 8); \
             call({}, 1, $local, 1, $remote, 1, 0);",
                libc::SYS_process_vm_readv
            ),
        ),
        call("a signal to the agent", libc::SYS_kill, ", 1, 0"),
        call("slowing the agent down", libc::SYS_setpriority, ", 0, 1, 5"),
        call("a higher priority", libc::SYS_setpriority, ", 0, 0, -5"),
        call(
            "a real-time priority",
            libc::SYS_sched_setscheduler,
            ", 0, 1, pack('i', 1)",
        )
        .may_be_absent(),
        call(
            "the agent's limits",
            libc::SYS_prlimit64,
            ", 1, 7, 0, (my $old = ' ' x 16)",
        ),
        probe(
            "offering the agent to the OOM killer",
            "writes('/proc/1/oom_score_adj');",
        ),
        probe(
            "a sibling's environment",
            r#"
for my $file (glob('/proc/[0-9]*/environ')) {
    next if $file =~ m{/$$/};
    open(my $e, '<', $file) or next;
    local $/; my $text = <$e>;
    breach($file) if defined $text && $text =~ /PROBED_SECRET=/;
}
blocked('in no process');
"#,
        ),
        probe(
            "a sibling's shared memory",
            format!(
                "$! = 0; my $r = try_call({}, 0x50424259, 0, 0); $r == -1 ? blocked(\"$!\") : breach('attached');",
                number(libc::SYS_shmget)
            ),
        ),
        call("becoming root", libc::SYS_setuid, ", 0"),
        call("joining root's group", libc::SYS_setgid, ", 0"),
        call("dropping the groups", libc::SYS_setgroups, ", 0, 0"),
    ]
}

fn kernel() -> Vec<Probe> {
    let mut all = vec![
        call("mounting", libc::SYS_mount, ", 'none', '/tmp', 'tmpfs', 0, 0"),
        call("unmounting", libc::SYS_umount2, ", '/.podbay/log', 0x8"),
        call("the new way of mounting", libc::SYS_fsopen, ", 'tmpfs', 0"),
        call("moving the root", libc::SYS_pivot_root, ", '/', '/'"),
        call("another root folder", libc::SYS_chroot, ", '/'"),
        call("a user namespace", libc::SYS_unshare, ", 0x10000000").residual(NESTED),
        call("a mount namespace", libc::SYS_unshare, ", 0x20000"),
        call("a network namespace", libc::SYS_unshare, ", 0x40000000"),
        call("clone3", libc::SYS_clone3, ", 0, 0"),
        probe("a child in a user namespace", format!(
            "$! = 0; my $r = try_call({}, 0x10000011, 0, 0, 0, 0); \
             if ($r == 0) {{ try_call({}, 0) }} $r == -1 ? blocked(\"$!\") : breach('made');",
            libc::SYS_clone,
            libc::SYS_exit_group
        ))
        .residual(NESTED),
        probe("entering a namespace", format!(
            "open(my $ns, '<', '/proc/self/ns/net') or blocked(\"$!\"); call({}, fileno($ns), 0);",
            libc::SYS_setns
        )),
        call("the keyring", libc::SYS_keyctl, ", 0, -3, 0").may_be_absent(),
        call("adding a key", libc::SYS_add_key, ", 'user', 'x', 'y', 1, -3").may_be_absent(),
        call("loading BPF", libc::SYS_bpf, ", 0, 0, 0").may_be_absent(),
        call("performance counters", libc::SYS_perf_event_open, ", 0, 0, -1, -1, 0").may_be_absent(),
        call("user fault handling", libc::SYS_userfaultfd, ", 0").may_be_absent(),
        call("io_uring", libc::SYS_io_uring_setup, ", 1, 0").may_be_absent(),
        call("another kernel", libc::SYS_kexec_load, ", 0, 0, 0, 0").may_be_absent(),
        call("another kernel from a file", libc::SYS_kexec_file_load, ", -1, -1, 0, 0, 0")
            .may_be_absent(),
        call("loading a module", libc::SYS_init_module, ", 0, 0, ''").may_be_absent(),
        call("loading a module from a file", libc::SYS_finit_module, ", -1, '', 0").may_be_absent(),
        call("removing a module", libc::SYS_delete_module, ", 'none', 0x800").may_be_absent(),
        call("restarting the machine", libc::SYS_reboot, ", 0xfee1dead, 672274793, 0, 0"),
        call("swapping", libc::SYS_swapon, ", '/nothing', 0"),
        call("disk quotas", libc::SYS_quotactl, ", 0x80000200, '/nothing', 0, 0"),
        call("setting the clock", libc::SYS_clock_settime, ", 0, 0"),
        call("setting the time of day", libc::SYS_settimeofday, ", 0, 1"),
        call("the host's name", libc::SYS_sethostname, ", 'taken', 5"),
        call("the kernel's log", libc::SYS_syslog, ", 10, 0, 0"),
        call("process accounting", libc::SYS_acct, ", 0").may_be_absent(),
        call("files by handle", libc::SYS_open_by_handle_at, ", -100, 0, 0"),
        call("an odd personality", libc::SYS_personality, ", 0x40000"),
        call("typing into the terminal", libc::SYS_ioctl, ", 0, 0x5412, 'x'"),
        call("the same with more bits", libc::SYS_ioctl, ", 0, 0x100005412, 'x'"),
        call("watching all files", libc::SYS_fanotify_init, ", 0, 0").may_be_absent(),
        probe("rebooting by a file", "writes('/proc/sysrq-trigger');").may_be_absent(),
        probe("a program for crashes", "writes('/proc/sys/kernel/core_pattern');"),
        probe("the kernel's settings", "writes('/proc/sys/kernel/printk');"),
        probe("the network's settings", "writes('/proc/sys/net/ipv4/ip_forward');"),
        probe("the devices' settings", "writes('/sys/block/vda/queue/read_ahead_kb', '/sys/kernel/mm/ksm/run', '/sys/kernel/profiling');")
            .may_be_absent(),
        probe("the own limits", "writes('/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory.max');"),
        probe("a cgroup of its own", "my @d = ('/sys/fs/cgroup/memory', '/sys/fs/cgroup'); for my $d (grep { -d } @d) { if (mkdir \"$d/probe\") { rmdir \"$d/probe\"; breach($d) } blocked(\"$!\") }"),
        probe("a cgroup's release agent", format!(
            "mkdir '/tmp/.cg'; $! = 0; \
             if (try_call({}, 'none', '/tmp/.cg', 'cgroup', 0, 'memory') == -1) {{ rmdir '/tmp/.cg'; blocked(\"$!\") }} \
             breach('the hierarchy is mounted');",
            libc::SYS_mount
        ))
        .may_be_absent(),
        probe("the kernel's memory", "reads('/proc/kcore');").may_be_absent(),
        probe("the list of keys", "reads('/proc/keys');").residual(NESTED).may_be_absent(),
        probe("the kernel's timers", "reads('/proc/timer_list');").may_be_absent(),
        probe("the machine's interrupts", "reads('/proc/interrupts');").residual(NESTED),
        probe("the machine's firmware", "opendir(my $d, '/sys/firmware') or blocked(\"$!\"); (grep { !/^\\./ } readdir $d) ? breach('listed') : blocked('empty');")
            .residual(NESTED).may_be_absent(),
    ];
    if cfg!(target_arch = "x86_64") {
        // iopl and ioperm are of that architecture alone.
        all.push(call("the machine's ports", 172, ", 3").may_be_absent());
        all.push(call("a range of the machine's ports", 173, ", 0x80, 1, 1").may_be_absent());
    }
    all
}
