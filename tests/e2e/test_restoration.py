"""No Sprout can serve: what plain clients and IMS clients are told, and what ends it."""

import xml.etree.ElementTree

import pytest

from bono_lab import Bono, Lab, ScriptedSprout
from bono_lab.scene import Scene
from bono_lab.sip import request, unique, uri_of

IMS = ("P-Access-Network-Info", "3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=1")


@pytest.fixture
def scene(tmp_path):
    lab = Lab(tmp_path)
    yield Scene(lab)
    lab.close()


def kill(scene):
    scene.lab.things.remove(scene.sprout)
    scene.sprout.stop()
    scene.bono.wait_for_targets(site_a="DOWN")


def revive(scene):
    scene.sprout = ScriptedSprout(scene.lab, scene.lab.ip(11))
    scene.bono.wait_for_targets(site_a="UP")


def assert_told(answer, path):
    assert answer.status == 504
    assert answer.get("content-type") == "application/3gpp-ims+xml"
    assert uri_of(answer.get("p-asserted-identity")) == uri_of(path)
    root = xml.etree.ElementTree.fromstring(answer.body)
    assert root.tag == "ims-3gpp" and root.get("version") == "1"
    service = root.find("alternative-service")
    assert service.findtext("type") == "restoration"
    assert service.findtext("action") == "initial-registration"


def test_a_plain_client_gets_503_and_is_served_again(scene):
    client = scene.registered("plain")
    kill(scene)
    answer = client.ask("MESSAGE", "sip:peer@example.net")
    assert answer.status == 503 and answer.has("retry-after") and not answer.body
    revive(scene)
    message = scene.through(client, "MESSAGE")
    message.reply(200)
    assert client.end.response("MESSAGE", message.get("call-id")).status == 200


@pytest.mark.parametrize("way", ["udp", "tcp"])
def test_an_ims_client_registers_anew_before_anything_else(scene, way):
    client = scene.registered("volte", way)
    kill(scene)
    assert_told(client.ask("MESSAGE", "sip:peer@example.net", [IMS]), client.path[0])
    revive(scene)
    # The Sprouts are back, but what they knew of this client is not.
    assert_told(client.ask("MESSAGE", "sip:peer@example.net"), client.path[0])
    scene.sprout.nothing_but("REGISTER")
    scene.register(client)
    message = scene.through(client, "MESSAGE")
    message.reply(200)
    assert client.end.response("MESSAGE", message.get("call-id")).status == 200


def test_the_other_site_comes_first(tmp_path):
    lab = Lab(tmp_path)
    near, far = ScriptedSprout(lab, lab.ip(11)), ScriptedSprout(lab, lab.ip(21))
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"], "site-b": [f"{lab.ip(21)}:5054"]})
    bono.wait_for_targets(site_a="UP", site_b="UP")
    scene = Scene.__new__(Scene)
    scene.lab, scene.core, scene.sprout, scene.bono = lab, "tcp", near, bono
    client = scene.registered("volte")
    lab.things.remove(near)
    near.stop()
    call_id = unique("over")
    client.end.send(request("MESSAGE", "sip:peer@example.net", client.end.via(), [IMS],
                            user="volte", call_id=call_id))
    far.expect("MESSAGE", call_id=call_id).reply(200)
    assert client.end.response("MESSAGE", call_id).status == 200
    lab.close()
