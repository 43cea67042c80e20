"""Certificates replaced while calls go on: for make check and, longer, for make soak."""

import os
import ssl
import threading

from .bono import Bono
from .certificates import Authority
from .churn import TLS_PORTS, descriptors, heap_kb, secured
from .sip import Background, Call, Client, TlsClient, options_to
from .sprout_sim import SproutSim
from .wait import PATIENCE

NAME = "edge.example.net"
KINDS = 8           # good certificates, taken in turn
BAD_EACH = 10       # each tenth time the files are bad


class Rotation:
    """One Bono, two TLS clients that call each other again and again, and a third that is always new. Any of them that
    meets a failure ends the test at finish()."""

    def __init__(self, lab):
        self.lab = lab
        SproutSim(lab, "site-a", [f"{lab.ip(11)}:5054"])
        words = secured(lab, NAME)
        self.authority = Authority(lab.path("ca"))
        self.good = [self.authority.issue(f"good-{number}", names=[NAME]) for number in range(KINDS)]
        self.bad = [self.authority.expired("old", names=[NAME]), self.authority.not_yet_valid("early", names=[NAME])]
        self.pair = words["tls"]["public"]
        self.place(self.good[0])
        self.bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, workers=2, limits={"transactions": 2000}, **words)
        self.bono.wait_for_targets(site_a="UP")
        self.edge = (self.bono.ip, TLS_PORTS["tls"])
        self.calls = self.visits = self.resumed = self.loaded = 0
        self.over = threading.Event()

    def start(self):
        self.caller, self.callee = self.client("caller"), self.client("callee")
        self.others = [Background(self.call_on), Background(self.visit_on)]

    # ---- clients ----

    def end(self, session=None, context=None):
        return TlsClient(self.lab.ip(2), self.edge, context or self.context(), NAME, session=session)

    def context(self):
        return ssl.create_default_context(cafile=self.authority.ca)

    def client(self, user):
        client = Client(self.lab, self.bono, user, end=self.end())
        client.register()
        return client

    def contact(self, client):
        return [("Contact", client.end.contact(client.user))]

    def call_on(self):
        while not self.over.is_set():
            call = Call(self.caller, "sip:callee@example.net")
            invite = self.callee.end.request("INVITE")
            invite.reply(180, headers=self.contact(self.callee))
            invite.reply(200, headers=self.contact(self.callee), body=b"v=0\r\n")
            answer = call.answer()
            assert answer.status == 200, repr(answer)
            call.ack()
            self.callee.end.request("ACK")
            self.caller.end.send(call.in_dialog_bytes("BYE"))
            self.callee.end.request("BYE").reply(200)
            assert self.caller.end.response("BYE", call.invite.get("call-id")).status == 200
            self.calls += 1
            for end in (self.caller.end, self.callee.end):
                end.all.clear()
                end.inbox.clear()

    def visit_on(self):
        """Each second time by the session of the last."""
        context = self.context()
        session = None
        while not self.over.is_set():
            end = self.end(session, context)
            assert end.ask(options_to(end, self.edge)).status == 200
            self.resumed += end.socket.session_reused
            session = end.socket.session if session is None else None
            end.close()
            self.visits += 1

    def shown(self):
        """The serial of what a new connection is shown."""
        end = self.end()
        serial = end.socket.getpeercert()["serialNumber"]
        end.close()
        return serial

    # ---- files ----

    def place(self, certificate, key=None):
        """Key and certificate by rename, as a renewal does it."""
        for source, target in ((key or certificate.key, self.pair["key"]), (certificate.certificate, self.pair["certificate"])):
            fresh = self.lab.path("fresh.pem")
            fresh.write_bytes(open(source, "rb").read())
            fresh.chmod(0o600)
            os.replace(fresh, target)

    def spoil(self, number):
        kind = number // BAD_EACH % (len(self.bad) + 2)
        if kind < len(self.bad):
            self.place(self.bad[kind])
        elif kind == len(self.bad):         # does not fit
            self.place(self.good[0], self.good[1].key)
        else:                               # cut off in the middle
            path = self.lab.path("fresh.pem")
            path.write_text(self.good[0].pem[:200])
            os.replace(path, self.pair["certificate"])

    def rotate(self, times, began=0):
        """Replace them so many times; each is in force, or refused, when the reload says so."""
        current = self.shown()
        for number in range(began, began + times):
            if number % BAD_EACH == BAD_EACH - 1:
                self.spoil(number)
                code, _, err = self.bono.ctl("reload", "tls")
                assert code == 1 and "what was there before goes on" in err, (number, err)
            else:
                certificate = self.good[number % KINDS]
                self.place(certificate)
                code, out, err = self.bono.ctl("reload", "tls")
                assert code == 0, (number, out, err)
                current = certificate.serial
                self.loaded += 1
            assert self.shown() == current, number
            assert all(other.is_alive() for other in self.others), [other.fault for other in self.others]

    def footprint(self):
        return heap_kb(self.bono), descriptors(self.bono)

    def finish(self):
        """Nobody failed; the two connections are those of the beginning."""
        self.over.set()
        for other in self.others:
            other.finish(PATIENCE * 2)
        metrics = self.bono.metrics()
        for result in ("ok", "resumed"):
            assert metrics.sum("bono_tls_handshakes_total", result=result) > 0
        failed = [(labels, value) for name, labels, value in metrics.series
                  if name == "bono_tls_handshakes_total" and labels["result"] not in ("ok", "resumed") and value]
        assert not failed, failed
        assert metrics.sum("bono_requests_lost_total") == 0
        assert metrics.sum("bono_tls_reloads_total", result="loaded") >= self.loaded
        for client in (self.caller, self.callee):
            client.register()
            assert not client.end.closed
        self.bono.assert_serving()
