"""Bono between clients said by hand and one Sprout said by hand: for tests that read the wire."""

from .bono import Bono
from .scripted import ScriptedSprout
from .sip import Client, uri_of, user_of


class Scene:
    """One Bono, one scripted Sprout behind it; core is tcp or udp."""

    def __init__(self, lab, core="tcp", sites=None, **changes):
        self.lab, self.core = lab, core
        self.sprout = ScriptedSprout(lab, lab.ip(11))
        changes.setdefault("workers", 2)
        self.bono = Bono(lab, sites or {"site-a": [f"{lab.ip(11)}:5054"]}, core, **changes)
        self.bono.wait_for_targets(site_a="UP")
        self.ways = []

    def way(self):
        """A fresh way from the Sprout to Bono's core listener."""
        way = self.sprout.way_to(self.bono.core, self.core)
        self.lab.add(way)
        return way

    def client(self, user, transport="udp", **more):
        """Not yet registered."""
        return Client(self.lab, self.bono, user, transport, **more)

    def register(self, client, headers=(), answer=(), **more):
        """Register; gives (the REGISTER as the Sprout saw it, the answer the client got)."""
        raw = client.register_bytes(headers, **more)
        client.end.send(raw)
        seen = self.sprout.accept_register(headers=answer, expires=more.get("expires", 600),
                                           call_id=client.register_call_id)
        response = client.end.response("REGISTER", client.register_call_id)
        assert response.status == 200, repr(response)
        client.service_route = response.values("service-route")
        client.path = seen.values("path")
        return seen, response

    def registered(self, user, transport="udp", **more):
        client = self.client(user, transport, **more)
        self.register(client)
        return client

    def through(self, client, method, headers=(), body=b"", **more):
        """Send a request of this client; gives the request as the Sprout saw it."""
        raw = client.request_bytes(method, "sip:peer@example.net", headers, body, **more)
        client.end.send(raw)
        return self.sprout.expect(method)


def token_of(path_or_route):
    """The flow token in a Path or Record-Route value."""
    return user_of(uri_of(path_or_route))
