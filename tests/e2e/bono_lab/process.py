"""A program under test: started in a group of its own, watched, stopped, its last words kept."""

import ctypes
import os
import signal
import subprocess

from .wait import until

SANITIZER_WORDS = (b"ERROR: AddressSanitizer", b"ERROR: LeakSanitizer", b"runtime error:",
                   b"WARNING: ThreadSanitizer")


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def end_with_parent():
    """In the child: a test run that is killed leaves nothing behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """Output of both streams goes to a file. `stop` and `kill` reach the whole group."""

    def __init__(self, name, argv, log_path, env=None, cwd=None, stdin=subprocess.DEVNULL, inherit=()):
        """inherit: descriptors that it keeps besides the standard ones."""
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log_path = log_path
        self.expected_end = None    # None: must be alive until stopped
        self.stopped = False
        environment = dict(os.environ, **(env or {}))
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen(self.argv, stdin=stdin, stdout=log, stderr=log,
                                          env=environment, cwd=cwd, start_new_session=True, pass_fds=inherit,
                                          preexec_fn=end_with_parent)

    @property
    def pid(self):
        return self.child.pid

    def log(self):
        with open(self.log_path, "rb") as file:
            return file.read()

    def log_contains(self, words):
        return (words if isinstance(words, bytes) else words.encode()) in self.log()

    def alive(self):
        return self.child.poll() is None

    def wait_for_log(self, words):
        def said():
            if self.log_contains(words):
                return True
            if not self.alive():
                raise AssertionError(f"{self.name} ended with {self.child.returncode} before it "
                                     f"said {words!r}:\n{self.tail()}")
            return False
        until(said, f"{self.name} to say {words!r}; it said:\n{self.tail()}")
        return self

    def wait_for_end(self, patience=20):
        until(lambda: not self.alive(), f"{self.name} to end", patience)
        self.stopped = True
        return self.child.returncode

    def tail(self, count=3000):
        return self.log()[-count:].decode("utf-8", "replace")

    def signal_group(self, number):
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    def kill(self):
        """At once, children too: a master killed alone leaves its workers serving."""
        self.stopped = True
        self.expected_end = -signal.SIGKILL
        self.signal_group(signal.SIGKILL)
        self.child.wait()

    def stop(self, patience=10):
        """Ask it to end, insist in the end. The faults it showed are told by complaints()."""
        if self.alive() and not self.stopped:
            self.signal_group(signal.SIGTERM)
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                self.signal_group(signal.SIGABRT)
                self.child.wait()
                self.stopped = True
                return
        self.stopped = True
        self.signal_group(signal.SIGKILL)
        self.child.wait()

    def complaints(self):
        """What went wrong in it, as text; empty when all is well."""
        faults = []
        for word in SANITIZER_WORDS:
            at = self.log().find(word)
            if at >= 0:
                faults.append(self.log()[at:at + 4000].decode("utf-8", "replace"))
                break
        code = self.child.poll()
        if code is not None and code < 0 and code != self.expected_end \
                and code not in (-signal.SIGTERM, -signal.SIGKILL):
            faults.append(f"ended by {signal.Signals(-code).name}; last words:\n{self.tail()}")
        return "\n".join(f"{self.name}: {fault}" for fault in faults)
