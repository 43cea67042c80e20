"""Phones in a browser: JsSIP and SIP.js in Chromium, over ws and wss. Their signalling goes through Bono to
simulated Sprouts that ask for a password, their media from page to page. The certificate of wss is judged by the
browser."""

import pytest

from bono_lab import Authority, Baresip, Bono, Browser, Lab, PhonePages, SproutSim, WebPhone, until

NAME, OTHER_NAME = "edge.example.net", "other.example.net"


class BrowserScene:
    def __init__(self, lab):
        self.lab = lab
        edge, sprout = lab.ip(1), f"{lab.ip(11)}:5054"
        users = lab.path("users")
        users.write_text("".join(f"{user}:secret\n" for user in (
            "ann", "ben", "cat", "dan", "eve", "fay", "gus", "hal")))
        SproutSim(lab, "site-a", [sprout], users=users)
        self.authority = Authority(lab.path("ca"))
        pair = self.authority.issue("edge", names=[NAME])
        self.pages = PhonePages(lab, lab.ip(2))
        self.foreign_pages = PhonePages(lab, lab.ip(3))

        def access(name, transport, port, **more):
            return {"name": name, "side": "access", "transport": transport,
                    "bind": f"{edge}:{port}", **more}
        self.bono = Bono(
            lab, {"site-a": [sprout]}, workers=2,
            tls={"public": {"certificate": pair.certificate, "key": pair.key}},
            listeners=[
                access("access-udp", "udp", 5060), access("access-tcp", "tcp", 5060),
                access("access-ws", "ws", 5062, origins=[self.pages.origin]),
                access("access-wss", "wss", 5063, tls="public", origins=[self.pages.origin]),
                {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{edge}:5058",
                 "allow": ["127.0.0.0/8"], "path": True}])
        self.bono.wait_for_targets(site_a="UP")
        self.edges = {"ws": f"ws://{NAME}:5062", "wss": f"wss://{NAME}:5063"}
        self.names = {NAME: edge, OTHER_NAME: edge}
        self.browser = Browser(lab, self.authority.ca, self.names)

    def phone(self, maker, user, way="wss", **more):
        return WebPhone(more.pop("browser", self.browser), more.pop("pages", self.pages), maker, user,
                        more.pop("edge", self.edges[way]), **more)

    def count(self, name, **labels):
        return self.bono.metrics().sum(name, **labels)

    def registered_count(self):
        return self.count("bono_responses_total", side="access", method="REGISTER", code_class="2xx")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("browsers"))
    yield BrowserScene(lab)
    lab.close()


def talk(caller, callee):
    """A call with sound in both directions; gives what the caller saw of its media."""
    calls, answers = len(caller.calls()) + 1, len(callee.calls()) + 1
    caller.call(callee.user)
    caller.wait_for_call("established", calls)
    callee.wait_for_call("established", answers)
    callee.wait_for_media()
    return caller.wait_for_media()


@pytest.mark.parametrize("way,other_way", [("ws", "wss"), ("wss", "ws"), ("wss", "wss")])
def test_jssip_and_sipjs_register_call_and_write_to_each_other(scene, way, other_way):
    ann = scene.phone("jssip", "ann", way).register()
    ben = scene.phone("sipjs", "ben", other_way).register()
    assert scene.bono.status()["registrations"] == 2
    for caller, callee in ((ann, ben), (ben, ann)):
        media = talk(caller, callee)
        assert media["dtls"] == "connected" and media["cipher"], media
        caller.hang_up()
        for end in (caller, callee):
            end.wait_for_call("ended")
        talk(caller, callee)
        callee.hang_up()
        for end in (caller, callee):
            end.wait_for_call("ended")
        caller.text(callee.user, "Grüße, 你好")
        caller.wait_for("text-taken")
        until(lambda callee=callee: callee.run("phone.texts") == ["Grüße, 你好"], "the text")
    for phone in (ann, ben):
        registers = scene.registered_count()
        phone.run("phone.register()")       # over the same flow again
        until(lambda registers=registers: scene.registered_count() > registers, "a second 200")
    assert scene.bono.status()["registrations"] == 2
    for phone in (ann, ben):
        phone.unregister()
    until(lambda: scene.bono.status()["registrations"] == 0, "the registrations to go")
    for phone in (ann, ben):
        phone.run("phone.stop()")
        phone.close()


@pytest.mark.parametrize("maker,way", [("jssip", "wss"), ("sipjs", "ws")])
def test_browser_and_baresip_call_each_other(scene, maker, way):
    """baresip brings ICE and DTLS-SRTP, so there is sound."""
    web = scene.phone(maker, "cat", way).register()
    phone = Baresip(scene.lab, "dan", scene.bono.access, "tcp", web=True, tone_s=60).wait_for_register()
    media = talk_to(web, phone)
    assert media["dtls"] == "connected", media
    phone.call("cat")
    phone.wait_for("CALL_ESTABLISHED", 2)
