"""What the operator sees: --check, the admin pages, bonoctl."""

import json
import re
import signal
import subprocess

import pytest

from bono_lab import Bono, Client, Lab, SproutSim, program, until
from bono_lab.bono import ROOT, configuration


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("admin"))
    lab.sites = {"site-a": [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"],
                 "site-b": [f"{lab.ip(21)}:5054", f"{lab.ip(22)}:5054"]}
    lab.site_a = SproutSim(lab, "site-a", lab.sites["site-a"])
    lab.site_b = SproutSim(lab, "site-b", lab.sites["site-b"])
    lab.bono = Bono(lab, lab.sites)
    lab.bono.wait_for_targets(site_a="UP", site_b="UP")
    yield lab
    lab.close()


# ---- bono --check ----

def check(path):
    done = subprocess.run([program("bono"), "--check", path], capture_output=True, text=True,
                          timeout=20, check=False)
    return done.returncode, done.stdout


def test_sound_configuration_is_ok(lab):
    path = lab.path("sound.yaml")
    path.write_text(json.dumps(configuration(lab, {"site-a": ["127.0.0.1:5054"]}), indent=1))
    assert check(path) == (0, f"{path}: ok\n")


@pytest.mark.parametrize("name", ["bono.yaml", "bono-demo.yaml"])
def test_shipped_configuration_is_read(name):
    """The example may name files and addresses of a real node; it has no fault of form."""
    path = ROOT / "conf" / name
    code, out = check(path)
    assert (code, out) == (0, f"{path}: ok\n")


def test_every_key_stands_in_the_example_and_its_comments_are_sound(lab):
    """What is commented out there is one `#` from being used; its certificates are nobody's."""
    example = (ROOT / "conf/bono.yaml").read_text()
    keys = re.findall(r"^\| `([^`]+)`", (ROOT / "docs/CONFIG.md").read_text(), re.MULTILINE)
    leaves = {key.removesuffix("[]").rsplit(".", 1)[-1] for key in keys}
    assert len(keys) > 80
    assert not [leaf for leaf in leaves if not re.search(rf"\b{leaf}:", example)]
    used = re.sub(r"^( *)# ((?: *- | *)[a-z_-]+:(?: .*)?)$", r"\1\2", example, flags=re.MULTILINE)
    assert "\ntls:" in used and "\n  site-c:" in used
    lab.path("used.yaml").write_text(used)
    _, out = check(lab.path("used.yaml"))
    faults = [line for line in out.splitlines() if not line.endswith("no such file or directory")]
    assert not faults and "profile public: " in out


YAML = """node:
  name: bono-1
  site: site-a
  home_domains: [example.net]
  state_dir: /tmp
listeners:
  - { name: access-udp, side: access, transport: udp, bind: "127.0.0.1:5060" }
  - { name: core-tcp, side: core, transport: tcp, bind: "127.0.0.1:5058", allow: [127.0.0.0/8] }
sites:
  site-a: { targets: ["sip:127.0.1.1:5054;transport=tcp"] }
health: { interval: 2s, timeout: 800ms, fall: 2, rise: 3 }
"""


@pytest.mark.parametrize("what,old,new,line", [
    ("unknown key", "  site: site-a", "  sight: site-a", 3),
    ("unit is missing", "interval: 2s", "interval: 2", 11),
    ("wrong type", "fall: 2", "fall: two", 11),
    ("duplicate key", "  state_dir: /tmp", "  state_dir: /tmp\n  name: again", 6),
    ("unknown side", "side: access", "side: outside", 7),
    ("unknown transport", "transport: udp", "transport: pigeon", 7),
    ("bad address", '"127.0.0.1:5060"', '"nowhere at all"', 7),
    ("core without allow", ", allow: [127.0.0.0/8]", "", 8),
    ("bad range", "127.0.0.0/8", "127.0.0.0/99", 8),
    ("wildcard core", '"127.0.0.1:5058"', '"0.0.0.0:5058"', 8),
    ("bad target", "sip:127.0.1.1:5054;transport=tcp", "http://127.0.1.1", 10),
    ("not yaml", "health: {", "health: [{", 12),
    ("node's site is none of the sites", "  site: site-a", "  site: site-z", 3),
    ("remote site in clear", 'targets: ["sip:127.0.1.1:5054;transport=tcp"] }',
     'targets: ["sip:127.0.1.1:5054;transport=tcp"] }\n'
     '  site-b: { targets: ["sip:127.0.2.1:5054;transport=tcp"] }', 11),
])
def test_fault_is_named_with_its_place(lab, what, old, new, line):
    path = lab.path("faulty.yaml")
    assert YAML.count(old) >= 1
    path.write_text(YAML.replace(old, new, 1))
    code, out = check(path)
    assert code == 1, f"{what}: {out}"
    places = [re.match(re.escape(str(path)) + r":(\d+):(\d+): \S", text) for text in out.splitlines()]
    assert places and all(places), out
    assert line in [int(place.group(1)) for place in places], out


def test_every_fault_is_told_in_one_pass(lab):
    path = lab.path("faulty.yaml")
    path.write_text(YAML.replace("interval: 2s", "interval: 2").replace("transport: udp", "transport: x")
                    .replace("  site: site-a", "  sight: site-a"))
    code, out = check(path)
    lines = {int(text.split(":")[1]) for text in out.splitlines()}
    assert code == 1 and {3, 7, 11} <= lines, out


def test_missing_file_and_wrong_words(lab):
    assert check(lab.path("absent.yaml"))[0] == 1
    for words in (["--nonsense"], [], ["--check"], ["-c"], ["-c", "a.yaml", "b.yaml"]):
        assert subprocess.run([program("bono"), *words], capture_output=True, timeout=20,
                              check=False).returncode == 2, words
    version = subprocess.run([program("bono"), "--version"], capture_output=True, text=True,
                             timeout=20, check=False)
    assert version.returncode == 0 and re.search(r"\d+\.\d+\.\d+", version.stdout)


def test_faulty_configuration_does_not_start(lab):
    path = lab.path("faulty.yaml")
    path.write_text(YAML.replace("interval: 2s", "interval: 2"))
    done = subprocess.run([program("bono"), "-c", path], capture_output=True, text=True, timeout=20,
                          check=False)
    assert done.returncode == 1
    assert f"{path}:11:" in done.stderr


# ---- pages ----

def test_livez_and_readyz(scene):
    assert scene.bono.get("/livez")[0] == 200
    assert scene.bono.get("/readyz")[0] == 200
    assert scene.bono.get("/nonsense")[0] == 404


def test_status_tells_the_sites(scene):
    status = scene.bono.status()
    assert status["node"] == "bono-1" and status["site"] == "site-a"
    assert status["ready"] is True and status["draining"] is False
    assert [site["name"] for site in status["sites"]] == ["site-a", "site-b"]
    assert [site["local"] for site in status["sites"]] == [True, False]
    assert [site["serving"] for site in status["sites"]] == [True, False]
    for key in ("version", "uptime_s", "config_hash", "registrations"):
        assert key in status
    assert set(status["flows"]) == {"udp", "tcp", "tls", "ws", "wss"}
    assert set(status["rates"]) == {"requests", "failovers", "rejected"}
    target = status["sites"][0]["targets"][0]
    assert set(target) >= {"site", "name", "address", "transport", "state", "reason", "since",
                           "probe_ms", "in_flight", "weight", "requests", "failures"}
    assert target["name"] == "sprout-1" and target["state"] == "UP"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", target["since"])
    assert target["probe_ms"] is not None


def test_metrics_satisfy_promtool(scene):
    _, body = scene.bono.get("/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_target_has_its_series_from_the_start(scene):
    metrics = scene.bono.metrics()
    for site in ("site-a", "site-b"):
        assert metrics.has("bono_site_serving", site=site)
        for target in ("sprout-1", "sprout-2"):
            assert metrics.sum("bono_target_up", site=site, target=target) == 1
            assert metrics.sum("bono_target_state", site=site, target=target, state="UP") == 1
            for name in ("bono_target_probe_seconds", "bono_target_in_flight"):
                assert metrics.has(name, site=site, target=target)


@pytest.mark.parametrize("core", ["tcp", "udp"])
def test_every_metric_is_there_before_anything_happened(lab, core):
    """What an alert is written upon must not wait for the first fault: no Sprout has been there yet."""
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"], "site-b": [f"{lab.ip(21)}:5054"]}, core)
    metrics = bono.metrics()
    for name in ("bono_build_info", "bono_requests_total", "bono_responses_total", "bono_first_answer_seconds_count",
                 "bono_failovers_total", "bono_site_serving", "bono_requests_lost_total", "bono_flows",
                 "bono_registrations", "bono_flow_closed_total", "bono_connections", "bono_rejected_total",
                 "bono_parse_errors_total", "bono_loop_lag_seconds", "bono_draining",
                 "process_cpu_seconds_total", "process_open_fds", "process_resident_memory_bytes",
                 "process_start_time_seconds"):
        assert metrics.has(name), name
    for name in ("bono_transaction_seconds", "bono_target_transitions_total"):    # these by use
        assert f"# TYPE {name} " in metrics.text
    for site in ("site-a", "site-b"):
        for name in ("bono_target_up", "bono_target_state", "bono_target_probe_seconds", "bono_target_in_flight"):
            assert metrics.has(name, site=site, target="sprout-1"), name
        assert metrics.has("bono_failovers_total", from_site=site, to_site="site-b")
        assert metrics.has("bono_first_answer_seconds_count", site=site)
    for transport in ("udp", "tcp"):
        assert metrics.has("bono_requests_total", side="access", transport=transport, method="REGISTER")
        assert metrics.has("bono_flows", transport=transport)
        assert metrics.has("bono_connections", side="core", transport="tcp")
        assert metrics.has("bono_parse_errors_total", transport=transport)
    for loop in ("control", "worker-0"):
        assert metrics.has("bono_loop_lag_seconds", loop=loop)
    assert not [series for series, _, _ in metrics.series if not series.startswith(("bono_", "process_"))]


def test_requests_and_flows_are_counted(scene):
    before = scene.bono.metrics()
    Client(scene, scene.bono, "counted").register()
    Client(scene, scene.bono, "countedtcp", "tcp").register()
    after = scene.bono.metrics()

    def grown(name, **labels):
        return after.sum(name, **labels) - before.sum(name, **labels)
    for transport in ("udp", "tcp"):
        assert grown("bono_requests_total", side="access", transport=transport,
                     method="REGISTER") == 1
        assert grown("bono_flows", transport=transport) == 1
    assert grown("bono_registrations") == 2
    assert grown("bono_responses_total", side="access", method="REGISTER", code_class="2xx") == 2


# ---- bonoctl ----

def test_ctl_status_is_the_page(scene):
    code, out, _ = scene.bono.ctl("-o", "json", "status")
    assert code == 0
    told, page = json.loads(out), scene.bono.status()
    assert told.keys() == page.keys()
    assert told["config_hash"] == page["config_hash"]
    code, out, _ = scene.bono.ctl("status")
    assert code == 0 and "bono-1" in out and "site-a" in out


def test_ctl_sites_and_targets(scene):
    code, out, _ = scene.bono.ctl("sites")
    assert code == 0 and "site-a" in out and "site-b" in out
    assert re.search(r"^site-a +local +yes +100\.0% ", out, re.MULTILINE), out
    assert re.search(r"^site-b +remote +no +0\.0% ", out, re.MULTILINE), out
    code, out, _ = scene.bono.ctl("targets")
    assert code == 0
    for name in ("site-a/sprout-1", "site-a/sprout-2", "site-b/sprout-1", "site-b/sprout-2"):
        assert name in out
    assert "UP" in out


def test_ctl_flows_finds_an_identity(scene):
    Client(scene, scene.bono, "findme", "tcp").register()
    code, out, _ = scene.bono.ctl("flows")
    assert code == 0 and "tcp" in out
    code, out, _ = scene.bono.ctl("flows", "--identity", "sip:findme@example.net")
    assert code == 0 and "findme" in out
    code, out, _ = scene.bono.ctl("flows", "--identity", "sip:nobody@example.net")
    assert "findme" not in out


def test_ctl_exit_codes(scene, lab):
    assert scene.bono.ctl("nonsense")[0] == 2
    assert scene.bono.ctl()[0] == 2
    done = subprocess.run([program("bonoctl"), "-s", lab.path("nobody.sock"), "status"],
                          capture_output=True, timeout=20, check=False)
    assert done.returncode == 3


def test_ctl_tells_a_problem_by_its_exit_code(lab):
    """Nobody listens at the only target."""
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
    bono.wait_for_targets(site_a="DOWN")
    code, out, _ = bono.ctl("status")
    assert code == 1 and "0 of 1 up" in out
    code, out, _ = bono.ctl("targets")
    assert "DOWN" in out and code in (0, 1)


# ---- life ----

def test_ready_without_any_upstream(lab):
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
    assert bono.get("/readyz")[0] == 200


def test_sigterm_ends_with_zero(lab):
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
    bono.child.send_signal(signal.SIGTERM)
    assert bono.wait_for_end() == 0


def test_sigterm_lets_transactions_finish(lab):
    from bono_lab import ScriptedSprout
    sprout = ScriptedSprout(lab, lab.ip(11))
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
    bono.wait_for_targets(site_a="UP")
    client = Client(lab, bono, "alice")
    client.end.send(client.register_bytes())
    seen = sprout.expect("REGISTER")
    bono.child.send_signal(signal.SIGTERM)
    until(lambda: answers_503(lab, bono), "new work to be refused")
    seen.reply(200, headers=[("Contact", seen.get("contact"))])
    assert client.end.response("REGISTER").status == 200
    assert bono.wait_for_end() == 0


def answers_503(lab, bono):
    from bono_lab import UdpClient
    from bono_lab.sip import options_to
    client = UdpClient(lab.client_ip(), bono.access)
    try:
        return client.ask(options_to(client, bono.access), patience=1).status == 503
    finally:
        client.close()


def test_tokens_of_an_earlier_life_are_430(lab):
    from bono_lab import Scene
    scene = Scene(lab)
    client = scene.registered("alice")
    scene.bono.stop()
    scene.bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
    scene.bono.wait_for_targets(site_a="UP")
    core = scene.way()
    core.send(core.request_bytes("MESSAGE", "sip:alice@10.0.0.1", client.path))
    answer = core.end.response("MESSAGE")
    assert (answer.status, answer.reason) == (430, "Flow Failed")


def test_strangers_on_the_core_side_are_refused(lab):
    """`allow` is the fence: nobody else is heard on a core listener."""
    from bono_lab import ScriptedSprout, TcpClient
    from bono_lab.sip import options_to
    ScriptedSprout(lab, lab.ip(11))
    config = configuration(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
    for listener in config["listeners"]:
        if listener["side"] == "core":
            listener["allow"] = [f"{lab.ip(11)}/32"]
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, listeners=config["listeners"])
    bono.wait_for_targets(site_a="UP")
    stranger = TcpClient(lab.client_ip(), bono.core)
    stranger.send(options_to(stranger, bono.core))
    stranger.wait_for_close()
    assert not stranger.all
    assert bono.metrics().sum("bono_rejected_total", reason="not_allowed_peer") > 0
    stranger.close()
