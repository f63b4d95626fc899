"""Runs one sshd and all that grows from it; leaves nothing behind.

Started as `python3 keeper.py PRELOAD PROGRAM ARGUMENT…` by sshd.py, from a copy that the uid can
read, with the read end of a pipe as standard input. As a child subreaper it inherits whatever the
sessions leave running. When the pipe closes (the simulator stopped, or was killed) or the program
ends, everything below is killed and reaped.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def children():
    """Process ids whose parent is this process."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                    fields = f.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                found.append(int(name))
    return found


def reap():
    """Collects the dead; False when there is no child left."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


def kill_all():
    """Orphans become our children as their parents die, so one level at a time is enough."""
    while reap():
        for pid in children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.005)


def program_gone(pid):
    """Reaps; True when the program itself is no more."""
    reap()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    environment = {**os.environ, "LD_PRELOAD": sys.argv[1]}
    pid = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, env=environment).pid
    poller = select.poll()
    poller.register(0, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    while 0 not in dict(poller.poll()):
        os.read(wake_read, 64)
        if program_gone(pid):
            break
    kill_all()


main()
