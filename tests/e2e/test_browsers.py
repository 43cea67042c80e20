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
            "ann", "ben", "cat", "dan", "eve", "fay", "gus", "hal", "ira")))
        SproutSim(lab, "site-a", [sprout], users=users)
        self.authority = Authority(lab.path("ca"))
        pair = self.authority.issue("edge", names=[NAME])
        self.pages = PhonePages(lab, lab.ip(2))
        self.foreign_pages = PhonePages(lab, lab.ip(3))

        def access(name, transport, port, **more):
            return {"name": name, "side": "access", "transport": transport,
                    "bind": f"{edge}:{port}", **more}
        public = {"certificate": pair.certificate, "key": pair.key}
        self.start = lambda: Bono(
            lab, {"site-a": [sprout]}, workers=2, websocket={"ping": "1s"}, tls={"public": public},
            listeners=[
                access("access-udp", "udp", 5060), access("access-tcp", "tcp", 5060),
                access("access-ws", "ws", 5062, origins=[self.pages.origin]),
                access("access-wss", "wss", 5063, tls="public", origins=[self.pages.origin]),
                {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{edge}:5058",
                 "allow": ["127.0.0.0/8"], "path": True}])
        self.bono = self.start()
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
    assert scene.count("bono_connection_closed_total", side="access", reason="idle") == 0, "pings answered"
    for phone in (ann, ben):
        phone.unregister()
    until(lambda: scene.bono.status()["registrations"] == 0, "the registrations to go")
    for phone in (ann, ben):
        phone.run("phone.stop()")
        phone.close()


@pytest.mark.parametrize("maker,way,other", [("jssip", "wss", "dan"), ("sipjs", "ws", "ira")])
def test_browser_and_baresip_call_each_other(scene, maker, way, other):
    """baresip brings ICE and DTLS-SRTP, so there is sound."""
    web = scene.phone(maker, "cat", way).register()
    phone = Baresip(scene.lab, other, scene.bono.access, "tcp", web=True, tone_s=60)
    phone.wait_for_register()
    web.call(other)
    phone.wait_for("CALL_ESTABLISHED")
    web.wait_for_call("established")
    media = web.wait_for_media()
    assert media["dtls"] == "connected" and media["codec"] == "audio/PCMU", media
    web.hang_up()
    phone.wait_for("CALL_CLOSED")
    web.wait_for_call("ended")
    phone.call("cat")
    phone.wait_for("CALL_ESTABLISHED", 2)
    web.wait_for_call("established", 2)
    assert web.wait_for_media()["dtls"] == "connected"
    phone.hang_up()
    web.wait_for_call("ended", 2)
    web.unregister()
    web.close()
    phone.stop()


def test_call_to_a_phone_that_cannot_do_the_media_of_browsers_ends_with_its_answer(scene):
    web = scene.phone("jssip", "cat").register()
    phone = Baresip(scene.lab, "eve", scene.bono.access, "udp").wait_for_register()
    web.call("eve")
    assert web.wait_for_call("failed") == "488 Incompatible SDP"
    phone.call("cat")
    assert web.wait_for_call("failed", 2).endswith("WebRTC Error")
    phone.wait_for("CALL_CLOSED", 1)
    web.close()
    phone.stop()


def test_page_that_is_closed_is_away_and_called_again_when_it_is_back(scene):
    caller = scene.phone("sipjs", "gus").register()
    web = scene.phone("jssip", "fay").register()
    flows = scene.bono.status()["flows"]["wss"]
    web.close()
    until(lambda: scene.bono.status()["flows"]["wss"] == flows - 1, "the flow to go")
    caller.call("fay")
    assert caller.wait_for_call("failed") == "480"
    web = scene.phone("jssip", "fay").register()
    talk(caller, web)
    caller.hang_up()
    web.wait_for_call("ended")
    for page in (caller, web):
        page.unregister()
        page.close()


def test_jssip_comes_back_by_itself_after_a_restart(lab):
    scene = BrowserScene(lab)
    web = scene.phone("jssip", "ann").register()
    other = scene.phone("sipjs", "ben", "ws").register()
    scene.bono.kill()
    for page in (web, other):
        page.wait_for("disconnected")
    scene.bono = scene.start()
    web.wait_for("registered", 2)
    other.run("phone.ua.reconnect()")       # left to the page by SIP.js
    other.wait_for("connected", 2)
    other.register()
    talk(other, web)


# ---- who is not let in, and who does not come in ----

def refused_certificate(scene, phone, what):
    """The browser did not like the certificate of wss and said so; Bono counted it."""
    def handshakes(result):
        return scene.count("bono_tls_handshakes_total", side="access", result=result)
    before = handshakes("peer_alert")
    page = phone()
    page.wait_for("disconnected")
    until(lambda: any(what in line for line in page.console()), f"{what} in {page.console()}")
    until(lambda: handshakes("peer_alert") > before, "an alert to be counted")
    assert scene.bono.log_contains("peer_alert: the peer says: certificate unknown")
    assert "connected" not in page.run("phone.events")
    page.close()


@pytest.mark.parametrize("maker", ["jssip", "sipjs"])
def test_browser_that_does_not_know_the_authority_refuses_and_that_is_counted(scene, maker):
    stranger = Browser(scene.lab, None, scene.names)
    refused_certificate(scene, lambda: scene.phone(maker, "fay", browser=stranger),
                        "ERR_CERT_AUTHORITY_INVALID")
    # The same browser over ws: it is the certificate.
    scene.phone(maker, "fay", "ws", browser=stranger).register().unregister()
    stranger.stop()


def test_browser_that_wants_another_name_refuses(scene):
    refused_certificate(scene, lambda: scene.phone("jssip", "fay", edge=f"wss://{OTHER_NAME}:5063"),
                        "ERR_CERT_COMMON_NAME_INVALID")


@pytest.mark.parametrize("way", ["ws", "wss"])
def test_page_of_another_origin_is_refused(scene, way):
    before = scene.count("bono_websocket_upgrades_total", result="bad_origin")
    page = scene.phone("jssip", "gus", way, pages=scene.foreign_pages)
    page.wait_for("disconnected")
    until(lambda: any("403" in line for line in page.console()), f"403 in {page.console()}")
    assert "connected" not in page.run("phone.events")
    assert scene.count("bono_websocket_upgrades_total", result="bad_origin") > before
    page.close()


def test_wrong_password_is_told_to_the_page(scene):
    page = scene.phone("sipjs", "hal", password="wrong")
    page.wait_for("connected")
    page.run("phone.register()")
    assert page.wait_for("register-failed") == "register-failed 401"
    page.close()
