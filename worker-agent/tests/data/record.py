#!/usr/bin/env python3
"""Records what a program writes to a terminal: record.py OUT COLSxROWS KEYS -- ARGV...

KEYS are sent one by one with a pause between them; "\\n" style escapes are
understood, "," separates keys. The program is ended after the last key.
"""
import fcntl, os, pty, select, signal, struct, sys, termios, time

out, size, keys = sys.argv[1:4]
argv = sys.argv[5:]
cols, rows = (int(part) for part in size.split("x"))
env = {
    "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin", "HOME": "/tmp/demo/home", "USER": "demo",
    "LESS": "-R", "PAGER": "less", "MANPAGER": "less -R", "GIT_PAGER": "less -R",
}
# What one program needs beside: RECORD_ENV="NAME=value NAME=value".
env.update(pair.split("=", 1) for pair in os.environ.get("RECORD_ENV", "").split())
pid, master = pty.fork()
if pid == 0:
    os.chdir("/tmp/demo/project")
    os.execvpe(argv[0], argv, env)
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
os.kill(pid, signal.SIGWINCH)
data = b""


def drain(seconds):
    global data
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([master], [], [], left)[0]:
            try:
                chunk = os.read(master, 65536)
            except OSError:
                return
            if not chunk:
                return
            data += chunk
            # Programs that ask where the cursor is, or what the terminal is, wait for the answer.
            for asked, answer in ((b"\x1b[6n", b"\x1b[1;1R"), (b"\x1b[c", b"\x1b[?62;22c")):
                if asked in chunk:
                    os.write(master, answer)


drain(1.0)
for key in keys.split(",") if keys else []:
    try:
        os.write(master, key.encode("latin-1", "backslashreplace").decode("unicode_escape").encode())
    except OSError:
        break
    drain(0.35)
try:
    os.kill(pid, signal.SIGHUP)
except ProcessLookupError:
    pass
drain(0.3)
open(out, "wb").write(data)
