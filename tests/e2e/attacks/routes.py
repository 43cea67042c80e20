"""Where to: Routes, Request-URIs, Vias, Record-Routes and hops that lead where a client has no business."""

from bono_lab.sip import unique

from .stage import Defused, Dropped, Refused, Rescued, attack

# ---- a preloaded Route: whatever it says, the registrar's Service-Route stands in its place ----

PLACES = {
    "stranger": "<sip:{s.stranger};lr>",
    "stranger_strictly": "<sip:{s.stranger}>",
    "stranger_over_tcp": "<sip:{s.stranger};transport=tcp;lr>",
    "stranger_by_maddr": "<sip:example.net;maddr={s.stranger.host};lr>",
    "stranger_behind_ours": "<sip:{s.edge};lr>, <sip:{s.core};transport=tcp;lr>, <sip:{s.stranger};lr>",
    "our_core_port": "<sip:{s.core};transport=tcp;lr;orig>",
    "our_admin_port": "<sip:{s.admin};transport=tcp;lr>",
    "victim_by_contact": "<{s.victims_contact};lr>",
    "victim_by_token": "<sip:{victims_token}@{s.core};transport=tcp;lr;ob>",
    "trunk": "<sip:{s.trunk};transport=tcp;lr>",
    "e_cscf": "<sip:{s.ecscf};transport=tcp;lr>",
    "sprout_as_another": "<sip:victim@{s.sprout};transport=tcp;lr;orig>",
    "sixty_places": ", ".join(["<sip:{s.stranger};lr>"] * 60),
    "phone": "<tel:+15551234>",
    "urn": "<urn:service:sos>",
    "loopback_in_other_words": "<sip:0x7f000001:9090;lr>, <sip:2130706433;lr>, <sip:localhost.:5058;lr>",
    "mapped_ipv6": "<sip:[::ffff:{s.stranger.host}]:{s.stranger.port};lr>",
}
for place, text in PLACES.items():
    attack(f"go to: {place.replace('_', ' ')}", Defused(), web=place in ("stranger", "victim_by_token"),
           name=f"route_to_{place}")(
        lambda s, text=text: s.message(("Route", text.format(s=s, victims_token=s.token(s.victim)))))


@attack("a Route that readers may read in two ways", Refused(400, closes=True))
def route_malformed(s):
    return s.message(("Route", f"<sip:peer@example.net;lr, <sip:{s.stranger};lr>"))


@attack("a Contact that readers may read in two ways", Refused(400, closes=True))
def contact_malformed(s):
    return s.message(("Contact", f"<sip:peer@example.net;lr, <sip:{s.stranger};lr>"), method="INVITE")


@attack("a Record-Route that readers may read in two ways", Refused(400, closes=True))
def record_route_malformed(s):
    return s.message(("Record-Route", f"<sip:peer@example.net;lr, <sip:{s.stranger};lr>"), method="INVITE")


# ---- the Request-URI ----

def at_home(_, seen):
    assert len(seen.values("via")) == 2


URIS = {
    "our_core_port": "sip:{s.core};transport=tcp",
    "our_admin_port": "sip:{s.admin};transport=tcp",
    "us_by_address": "sip:peer@{s.edge}",
    "us_by_domain": "sip:peer@example.net:5060",
    "us_in_capitals": "SIP:peer@EXAMPLE.NET",
    "us_with_a_dot": "sip:peer@example.net.",
    "victims_contact": "{s.victims_contact}",
    "victims_token": "sip:{victims_token}@{s.edge};lr",
    "stranger_by_maddr": "sip:peer@example.net;maddr={s.stranger.host};transport=tcp",
    "stranger": "sip:{s.stranger};transport=tcp",
    "another_method": "sip:peer@example.net;method=REGISTER",
    "a_line_break": "sip:peer%0d%0aX-Injected:1%0d%0a@example.net",
    "a_null": "sip:peer%00@example.net",
    "a_phone_at_the_strangers": "sip:+15551234@{s.stranger};user=phone",
    "a_phone_with_context": "tel:1234;phone-context={s.stranger}",
}
for place, text in URIS.items():
    attack(f"ask for: {place.replace('_', ' ')}", Defused(at_home), name=f"uri_of_{place}")(
        lambda s, text=text: s.message(uri=text.format(s=s, victims_token=s.token(s.victim))))


@attack("headers in the Request-URI", Refused(400, counter="bad_request"), web=True)
def uri_with_headers(s):
    return s.message(uri=f"sip:peer@example.net?Route=%3Csip:{s.stranger.host}%3Blr%3E")


@attack("a scheme that a gateway may follow", Refused(416, counter="unsupported_scheme"))
def uri_of_http(s):
    return s.message(uri=f"http://{s.admin}/metrics")


@attack("a registered client's emergency call by its own way", Defused())
def sos_with_a_route(s):
    return s.message(("Route", f"<sip:{s.stranger};lr>"), uri="urn:service:sos.fire")


def no_more_hops(_, seen, left="0"):
    assert seen.get("max-forwards") == left


attack("more hops than there may be", Defused(lambda s, seen: no_more_hops(s, seen, "254")), name="max_forwards_256")(
    lambda s: s.message(max_forwards=256))
attack("the last hop", Defused(no_more_hops), name="max_forwards_1")(lambda s: s.message(max_forwards=1))
attack("no hop left", Refused(483, counter="too_many_hops"), name="max_forwards_0")(lambda s: s.message(max_forwards=0))
for number, value in enumerate(("-1", "99999999999999999999", "0x10", "7 7")):
    attack(f"Max-Forwards that is none: {value}", Refused(400, closes=True), name=f"max_forwards_odd_{number}")(
        lambda s, value=value: s.message(max_forwards=value))


# ---- Via: where the answer goes ----

def via_of(s, params):
    return f"SIP/2.0/{s.end.transport} {s.stranger};branch=z9hG4bK{unique('v')};{params}"


for name, params in {"name_of_a_stranger": "rport", "received": "received={host};rport={port}",
                     "maddr": "maddr={host};ttl=255;rport", "second_received": "received={host};received={host};rport",
                     "alias": "alias;rport;keep=1;oc=0;oc-algo=\"loss\""}.items():
    attack(f"the answer shall go to a stranger: {name.replace('_', ' ')}", Defused(), name=f"via_{name}")(
        lambda s, params=params: s.message(
            via=via_of(s, params.format(host=s.stranger.host, port=s.stranger.port))))


@attack("seventy Vias, to be sent round", Defused())
def via_seventy_times(s):
    return s.message(
        ("Via", s.end.via()), *[("Via", f"SIP/2.0/UDP {s.stranger.host}:{n + 1};branch=z9hG4bK{n}") for n in range(69)])


@attack("a Via in our name below its own, as if it had passed here", Defused())
def via_of_ours(s):
    return s.message(("Via", s.end.via()),
                     ("Via", f"SIP/2.0/TCP {s.core};branch=z9hG4bK-b00-0000000000000000-00000000000000000000000000000000"))


# ---- Record-Route in our name ----

def ours_on_top(s, seen):
    own = seen.values("record-route")
    assert s.token(s.client) in own[1] and len(own) == 4


@attack("entries in our name, so that the other side's requests come to us with them", Defused(ours_on_top))
def record_route_in_our_name(s):
    return s.message(("Record-Route", f"<sip:{s.token(s.victim)}@{s.edge};transport=udp;lr>"),
                     ("Record-Route", f"<sip:{s.stranger};lr>"), method="SUBSCRIBE")


# ---- strangers ----

for place in ("stranger", "our_core_port", "sprout_as_another", "victim_by_token", "trunk", "e_cscf"):
    attack(f"without a registration, by a Route to: {place.replace('_', ' ')}",
           Refused(403, counter="not_registered"), registered=False, web=place == "victim_by_token",
           name=f"unregistered_route_to_{place}")(
        lambda s, text=PLACES[place]: s.message(("Route", text.format(s=s, victims_token=s.token(s.victim))),
                                                method="INVITE"))


@attack("without a registration, as the victim in every way", Refused(403, counter="not_registered"), registered=False)
def unregistered_victim(s):
    return s.message(("P-Asserted-Identity", "<sip:victim@example.net>"), ("From", "<sip:victim@example.net>;tag=1"),
                     ("Contact", f"<{s.victims_contact}>"),
                     ("Authorization", 'Digest username="victim", integrity-protected="yes", response="0"'))


@attack("a dialog that is none", Refused(403, counter="not_registered"), registered=False)
def unregistered_dialog(s):
    return s.in_dialog("BYE", s.victims_contact, [f"<sip:{s.stranger};lr>"])


@attack("an ACK to wherever", Dropped(), registered=False)
def unregistered_ack(s):
    return s.in_dialog("ACK", f"sip:{s.stranger}", [f"<sip:{s.stranger};lr>"])


@attack("a method of the core", Refused(403, counter="not_registered"), registered=False)
def unregistered_unknown_method(s):
    return s.message(method="BREW")


@attack("a call for help that goes on in a dialog nobody began", Refused(403), registered=False)
def unregistered_sos_dialog(s):
    return s.in_dialog("BYE", "urn:service:sos", [f"<sip:{s.ecscf};transport=tcp;lr>"])


@attack("not quite an emergency", Refused(403, counter="not_registered"), registered=False)
def unregistered_sosx(s):
    return s.message(uri="urn:service:sosx", method="INVITE")


@attack("an emergency call by way of others", Rescued(), registered=False)
def unregistered_sos_by_a_stranger(s):
    return s.message(("Route", f"<sip:{s.stranger};lr>"), ("P-Asserted-Identity", "<sip:victim@example.net>"),
                     uri="urn:service:sos", method="INVITE")
