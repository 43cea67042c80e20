"""Certificates in operation: broken ones at the start, new ones while it runs, their end told in time."""

import json
import os
import pathlib
import signal
import ssl
import subprocess

from bono_lab import Bono, Client, Process, ScriptedSprout, TlsClient, program, until
from bono_lab.certificates import openssl

NAME = "edge.example.net"


def tls_listeners(lab):
    edge = lab.ip(1)
    return [
        {"name": "access-udp", "side": "access", "transport": "udp", "bind": f"{edge}:5060"},
        {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{edge}:5060"},
        {"name": "access-tls", "side": "access", "transport": "tls", "bind": f"{edge}:5061",
         "tls": "public"},
        {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{edge}:5058",
         "allow": ["127.0.0.0/8"]},
    ]


def start(lab, certificate, **changes):
    if "tls" not in changes:
        changes["tls"] = {"public": {"certificate": certificate.certificate,
                                     "key": certificate.key}}
    return Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, listeners=tls_listeners(lab), **changes)


def served_serial(lab, port=5061, name=NAME):
    """The serial of the certificate that a new connection is shown."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"{lab.ip(1)}:{port}", "-servername", name],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                          check=False)
    begin = done.stdout.find("-----BEGIN CERTIFICATE-----")
    assert begin >= 0, f"no certificate: {done.stdout}{done.stderr}"
    return openssl("x509", "-noout", "-serial", text=done.stdout[begin:]).strip().split("=")[1]


def client_context(authority):
    return ssl.create_default_context(cafile=authority.ca)


def renew(authority, **words):
    """A new certificate as a renewal puts it there: key and certificate by rename."""
    fresh = authority.issue("fresh", names=[NAME], **words)
    edge = authority.directory / "edge.pem"
    os.replace(fresh.key, edge.with_suffix(".key"))
    os.replace(fresh.certificate, edge)
    fresh.certificate, fresh.key = str(edge), str(edge.with_suffix(".key"))
    return fresh


# ---- faults ----

def broken_profiles(lab, authority):
    """Each broken in another way: {profile: (keys, what is said)}."""
    good = authority.issue("good", names=[NAME])
    other = authority.issue("other", names=[NAME])
    old = authority.expired("old", names=[NAME])
    early = authority.not_yet_valid("early", names=[NAME])
    junk = lab.path("junk.pem")
    junk.write_text("no certificate")
    return {
        "absent": ({"certificate": str(lab.path("absent.pem")), "key": good.key}, "absent.pem"),
        "unfit": ({"certificate": good.certificate, "key": other.key}, "other.key"),
        "old": ({"certificate": old.certificate, "key": old.key}, "expired"),
        "early": ({"certificate": early.certificate, "key": early.key}, "early.pem"),
        "junk": ({"certificate": str(junk), "key": good.key}, "junk.pem"),
        "pipe": ({"certificate": "/dev/zero", "key": good.key}, "/dev/zero: no regular file"),
        "rootless": ({"certificate": good.certificate, "key": good.key,
                      "ca": str(lab.path("no-ca.pem"))}, "no-ca.pem"),
    }


def test_a_start_with_broken_files_says_each_fault(lab, authority):
    sound = authority.issue("edge", names=[NAME])
    bono = start(lab, sound)
    bono.stop()
    profiles = broken_profiles(lab, authority)
    bono.config["tls"].update({name: keys for name, (keys, _) in profiles.items()})
    path = lab.path("broken.json")
    path.write_text(json.dumps(bono.config, indent=1))
    lines = path.read_text().splitlines()

    done = subprocess.run([program("bono"), "--check", path], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 1, done.stdout
    for name, (_, words) in profiles.items():
        line = 1 + next(i for i, text in enumerate(lines) if text.strip().startswith(f'"{name}":'))
        told = [fault for fault in done.stdout.splitlines()
                if fault.startswith(f"{path}:{line}:") and f"profile {name}: " in fault]
        assert told and words in "\n".join(told), f"{name}:\n{done.stdout}"
    assert "profile public" not in done.stdout

    refused = Process("bono", [program("bono"), "-c", path], lab.path("refused.log"))
    assert refused.wait_for_end() == 1
    log = refused.log().decode()
    assert "bono: ready" not in log
    for name in ("absent", "unfit", "old"):     # what is no file is told first, alone
        assert f"profile {name}: " in log or "no regular file" in log
    del bono.config["tls"]["pipe"]
    path.write_text(json.dumps(bono.config, indent=1))
    refused = Process("bono", [program("bono"), "-c", path], lab.path("refused-2.log"))
    assert refused.wait_for_end() == 1
    for name in set(profiles) - {"pipe"}:
        assert f"profile {name}: " in refused.log().decode(), name


def test_a_sound_file_is_ok(lab, authority):
    bono = start(lab, authority.issue("edge", names=[NAME]))
    done = subprocess.run([program("bono"), "--check", bono.config_path], capture_output=True,
                          text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, f"{bono.config_path}: ok\n")


# ---- renewal ----

def registered(lab, bono, sprout, authority, user):
    end = TlsClient(lab.client_ip(), (lab.ip(1), 5061), client_context(authority), NAME)
    client = Client(lab, bono, user, end=end)
    register(client, sprout)
    return client


def register(client, sprout):
    client.end.send(client.register_bytes())
    sprout.accept_register(call_id=client.register_call_id)
    answer = client.end.response("REGISTER", client.register_call_id, cseq=client.cseq)
    assert answer.status == 200, repr(answer)


def test_a_certificate_replaced_on_disk_is_served_and_old_connections_go_on(lab, authority):
    first = authority.issue("edge", names=[NAME])
    sprout = ScriptedSprout(lab, lab.ip(11))
    bono = start(lab, first, workers=2)
    bono.wait_for_targets(site_a="UP")
    old = registered(lab, bono, sprout, authority, "alice")
    assert served_serial(lab) == first.serial

    second = renew(authority)
    until(lambda: served_serial(lab) == second.serial, "the new certificate to be served")
    register(old, sprout)       # on the connection of before
    assert not old.end.closed
    registered(lab, bono, sprout, authority, "bob")
    assert bono.metrics().sum("bono_tls_reloads_total", result="loaded") >= 1


def test_a_link_that_moves_as_in_kubernetes_is_followed(lab, authority):
    for version in ("one", "two"):
        issued = authority.issue("edge", names=[NAME])
        directory = lab.path(f"..{version}")
        directory.mkdir()
        os.replace(issued.certificate, directory / "tls.crt")
        os.replace(issued.key, directory / "tls.key")
    os.symlink("..one", lab.path("..data"))
    for name in ("tls.crt", "tls.key"):
        os.symlink(f"..data/{name}", lab.path(name))
    bono = start(lab, None, tls={"public": {"certificate": str(lab.path("tls.crt")),
                                            "key": str(lab.path("tls.key"))}})
    before = served_serial(lab)
    os.symlink("..two", lab.path("..data_tmp"))
    os.rename(lab.path("..data_tmp"), lab.path("..data"))
    until(lambda: served_serial(lab) != before, "the other certificate to be served")
    assert bono.alive()


def test_reload_by_hand_takes_a_good_one_and_keeps_the_old_for_a_bad_one(lab, authority):
    first = authority.issue("edge", names=[NAME])
    bono = start(lab, first)
    second = authority.issue("edge", names=[NAME], days=30)
    code, out, err = bono.ctl("reload", "tls")
    assert (code, err) == (0, ""), out
    assert "public" in out and "CN=edge" in out.replace(" ", "")
    assert served_serial(lab) == second.serial

    authority.expired("edge", names=[NAME])
    code, out, err = bono.ctl("reload", "tls")
    assert code == 1
    assert "profile public: " in out and "expired" in out
    assert "what was there before goes on" in err
    assert served_serial(lab) == second.serial
    assert "problem: what is in their files now was refused" in bono.ctl("status")[1]
    code, out, _ = bono.ctl("-o", "json", "reload", "tls")
    assert code == 1 and '"loaded": false' in out
    metrics = bono.metrics()
    assert metrics.sum("bono_tls_reloads_total", result="refused") >= 2
    assert metrics.sum("bono_tls_reload_success") == 0
    assert bono.ctl("reload")[0] == 2 and bono.ctl("reload", "all")[0] == 2

    third = authority.issue("edge", names=[NAME])
    assert bono.ctl("reload", "tls")[0] == 0
    assert served_serial(lab) == third.serial
    assert bono.metrics().sum("bono_tls_reload_success") == 1
    assert "refused" not in bono.ctl("status")[1]


def test_hangup_reads_the_files_again(lab, authority):
    bono = start(lab, authority.issue("edge", names=[NAME]))
    second = authority.issue("edge", names=[NAME])
    bono.signal_group(signal.SIGHUP)
    until(lambda: served_serial(lab) == second.serial, "the new certificate to be served")


def test_without_tls_there_is_nothing_to_reload(lab):
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
    code, _, err = bono.ctl("reload", "tls")
    assert code == 1 and "no TLS is configured" in err


# ---- dates ----

def test_the_end_of_each_certificate_is_told_in_time(lab, authority):
    near = authority.issue("edge", names=[NAME], days=5)
    far = authority.issue("far", names=["other.example.net"], days=60)
    bono = start(lab, near, tls={"public": {"certificate": near.certificate, "key": near.key,
                                            "more": [{"certificate": far.certificate,
                                                      "key": far.key}]}})
    metrics = bono.metrics()
    assert metrics.sum("bono_tls_certificate_expiry_seconds", name="public") == near.not_after
    assert metrics.sum("bono_tls_certificate_expiry_seconds", name="public-2") == far.not_after
    done = subprocess.run(["promtool", "check", "metrics"], input=metrics.text, capture_output=True,
                          text=True, timeout=20, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr

    events = bono.ctl("events")[1]
    assert "NEAR_ITS_END" in events
    assert len([line for line in events.splitlines() if "NEAR_ITS_END" in line]) == 1
    assert bono.log_contains("tls certificate public: ") and bono.log_contains("days left")
    certificates = {entry["name"]: entry for entry in bono.status()["certificates"]}
    assert set(certificates) == {"public", "public-2"}
    assert certificates["public"]["days_left"] in (4, 5)
    assert "public-2" in bono.ctl("status")[1]

    assert served_serial(lab, name="other.example.net") == far.serial
    assert served_serial(lab, name=NAME) == near.serial


def test_nobody_reads_a_key_in_the_log(lab, authority):
    certificate = authority.issue("edge", names=[NAME])
    bono = start(lab, certificate)
    bono.ctl("reload", "tls")
    secret = pathlib.Path(certificate.key).read_text().splitlines()[1]
    assert not bono.log_contains(secret)
