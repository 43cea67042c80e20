"""SIPp with a scenario of sipp-scenarios/."""

from .address import host_port
from .bono import ROOT
from .process import Process

SCENARIOS = ROOT / "sipp-scenarios"


class Sipp(Process):
    """One SIPp run: one user agent that does its scenario `calls` times and ends."""

    count = 0

    def __init__(self, lab, scenario, edge, transport="udp", user="alice", peer="bob", key=None,
                 domain="example.net", port=5060, calls=1, timeout="30s", core="", extra=(),
                 ip=None):
        Sipp.count += 1
        self.scenario = scenario
        self.ip = ip or lab.client_ip()
        stem = f"sipp-{Sipp.count}-{scenario}"
        self.words_path = lab.path(f"{stem}.words")
        self.messages_path = lab.path(f"{stem}.messages")
        self.errors_path = lab.path(f"{stem}.errors")
        argv = ["sipp", host_port(edge), "-sf", SCENARIOS / f"{scenario}.xml",
                "-t", "u1" if transport == "udp" else "t1", "-i", self.ip, "-p", port,
                "-key", "user", user, "-key", "peer", peer, "-key", "domain", domain,
                "-key", "core", core,
                "-cid_str", key or f"%u-{Sipp.count}-%s", "-m", calls, "-l", calls,
                "-nostdin", "-timeout", timeout, "-timeout_error", "-max_retrans", "6",
                "-trace_logs", "-log_file", self.words_path,
                "-trace_msg", "-message_file", self.messages_path,
                "-trace_err", "-error_file", self.errors_path, *extra]
        super().__init__(f"sipp {scenario}", argv, lab.path(f"{stem}.log"),
                         cwd=lab.directory, env={"TERM": "dumb"})
        lab.add(self)

    def said(self, words):
        """Has the scenario logged these words?"""
        try:
            return words in self.words_path.read_text(errors="replace")
        except FileNotFoundError:
            return False

    def wait_for_word(self, word):
        from .wait import until

        def heard():
            assert self.alive() or self.said(word), f"{self.report()}"
            return self.said(word)
        until(heard, f"{self.name} to say {word}")
        return self

    def succeed(self):
        code = self.wait_for_end(40)
        assert code == 0, self.report()
        return self

    def report(self):
        def text(path):
            return path.read_text(errors="replace")[-6000:] if path.exists() else "-"
        return (f"{self.name}: exit {self.child.poll()}\n--- errors\n{text(self.errors_path)}\n"
                f"--- messages\n{text(self.messages_path)}")

    def complaints(self):
        return ""       # judged by succeed()
