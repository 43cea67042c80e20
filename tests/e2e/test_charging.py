"""P-Charging headers on the core side, and billing records that reach a Ralf over failures and restarts."""

import http.server
import json
import signal
import threading

import pytest

from bono_lab import Lab, Scene
from bono_lab.bono import Bono
from bono_lab.sip import Call
from bono_lab.wait import until


class Ralf:
    """An HTTP server that keeps what was posted to it; answers with `status`."""

    def __init__(self, address, status=200):
        self.records, self.status = [], status
        ralf = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if ralf.status == 200:
                    ralf.records.append((self.path, json.loads(body)))
                self.send_response(ralf.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words):
                pass

        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self.server = http.server.ThreadingHTTPServer(address, Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def types(self):
        return sorted(record["event"]["Accounting-Record-Type"] for _, record in self.records)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def sites(lab):
    sprout = {"targets": [f"sip:{lab.ip(11)}:5054;transport=tcp"], "ralf": [f"{lab.ip(21)}:9888"]}
    far = {"targets": [f"sip:{lab.ip(12)}:5054;transport=tcp"], "plaintext": "allowed",
           "ralf": [f"{lab.ip(22)}:9888"]}
    return {"site-a": sprout, "site-b": far}


CHARGING = {"vector": True, "ccf": ["cdf.example.net"], "ecf": ["ecf.example.net"],
            "ioi": "home.example.net"}


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def scene_of(lab):
    return Scene(lab, sites=sites(lab), charging=CHARGING)


def contact(scene):
    ip, port = scene.sprout.address
    return [("Contact", f"<sip:peer@{ip}:{port};transport=tcp>")]


def make_call(scene, client):
    """INVITE, ACK, BYE; gives the INVITE as the Sprout saw it."""
    call = Call(client, "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE")
    invite.reply(200, headers=contact(scene), body=b"v=0\r\n")
    assert call.answer().status == 200
    call.ack()
    scene.sprout.expect("ACK", call_id=invite.get("call-id"))
    call.client.end.send(call.in_dialog_bytes("BYE"))
    scene.sprout.expect("BYE").reply(200)
    assert call.client.end.response("BYE").status == 200
    return invite


def test_requests_into_the_core_carry_our_vector_and_not_the_clients(lab):
    scene = scene_of(lab)
    spoof = [("P-Charging-Vector", "icid-value=stolen"),
             ("P-Charging-Function-Addresses", "ccf=thief.example.com")]
    client = scene.client("alice")
    seen, answer = scene.register(client, headers=spoof)
    assert answer.values("p-charging-vector") == []
    plain = client.register_call_id.replace("@", "")
    for request in (seen, scene.through(client, "MESSAGE", spoof)):
        vector = request.values("p-charging-vector")
        assert len(vector) == 1 and "stolen" not in vector[0]
        assert f";icid-generated-at={lab.ip(1)}" in vector[0]
        assert vector[0].endswith(";orig-ioi=home.example.net")
        assert request.values("p-charging-function-addresses") == [
            "ccf=cdf.example.net;ecf=ecf.example.net"]
    assert seen.values("p-charging-vector")[0].startswith(f'icid-value="{plain}"')


def test_a_call_makes_a_start_and_a_stop_at_the_ralf_of_our_site(lab):
    near, far = Ralf((lab.ip(21), 9888)), Ralf((lab.ip(22), 9888))
    scene = scene_of(lab)
    client = scene.registered("alice")
    invite = make_call(scene, client)
    until(lambda: near.types() == [1, 2, 4], "a record of REGISTER, START and STOP")
    assert far.records == []
    path, start = next(r for r in near.records if r[1]["event"]["Accounting-Record-Type"] == 2)
    call_id = invite.get("call-id")
    assert path == "/call-id/" + call_id.replace("@", "%40")
    assert start["peers"]["ccf"] == ["cdf.example.net"]
    ims = start["event"]["Service-Information"]["IMS-Information"]
    assert ims["User-Session-Id"] == call_id
    assert ims["IMS-Charging-Identifier"] == call_id.replace("@", "")
    assert ims["Role-Of-Node"] == 0 and ims["Node-Functionality"] == 1
    assert ims["Event-Type"]["SIP-Method"] == "INVITE"
    near.close()
    far.close()


def test_a_refused_call_is_an_event_with_its_cause(lab):
    near = Ralf((lab.ip(21), 9888))
    scene = scene_of(lab)
    call = Call(scene.registered("bob"), "sip:peer@example.net")
    scene.sprout.expect("INVITE").reply(486)
    assert call.answer().status == 486
    call.ack()
    until(lambda: near.types() == [1, 1], "two events")
    causes = [r["event"]["Service-Information"]["IMS-Information"]["Cause-Code"]
              for _, r in near.records]
    assert sorted(causes) == [-1, 486]
    near.close()


def test_the_far_ralf_serves_while_ours_is_dead_and_the_call_does_not_notice(lab):
    far = Ralf((lab.ip(22), 9888))
    scene = scene_of(lab)
    make_call(scene, scene.registered("carol"))
    until(lambda: far.types() == [1, 2, 4], "the records at the far Ralf")
    far.close()


def test_records_of_a_dead_ralf_survive_a_kill_and_a_restart(lab):
    scene = scene_of(lab)
    make_call(scene, scene.registered("dave"))
    until(lambda: scene.bono.metrics().sum("bono_charging_spool_records") == 3, "three records kept")
    until(lambda: scene.bono.metrics().sum("bono_charging_records_total", result="retried") > 0,
          "a failed attempt")
    scene.bono.child.send_signal(signal.SIGKILL)
    scene.bono.child.wait(10)
    near = Ralf((lab.ip(21), 9888))
    again = Bono(lab, sites(lab), charging=CHARGING)
    until(lambda: near.types() == [1, 2, 4], "all three, none twice", 20)
    until(lambda: again.metrics().sum("bono_charging_spool_records") == 0, "an empty spool")
    near.close()


def test_a_record_that_ralf_refuses_does_not_hold_up_the_others(lab):
    near = Ralf((lab.ip(21), 9888), status=400)
    scene = scene_of(lab)
    client = scene.registered("erin")
    until(lambda: scene.bono.metrics().sum("bono_charging_records_total", result="refused") == 1,
          "the record given up")
    near.status = 200
    make_call(scene, client)
    until(lambda: near.types() == [2, 4], "those of the call")
    near.close()


def test_a_ralf_without_a_collector_is_a_fault_of_the_configuration(lab):
    import subprocess
    from bono_lab.bono import configuration, program
    config = configuration(lab, sites(lab))
    path = lab.path("bad.yaml")
    path.write_text(json.dumps(config))
    done = subprocess.run([program("bono"), "--check", path], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 1
    assert "expected charging.ccf or charging.ecf" in done.stdout
