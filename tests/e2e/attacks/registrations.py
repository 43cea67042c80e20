"""REGISTER for others, and registrations that want more than they may."""

from .stage import Defused, Refused, attack, outside_quotes


VICTIM = "sip:victim@example.net"


def unproven(s, seen):
    """Nothing tells the registrar that this were the victim, and the way back is the attacker's own."""
    assert "ip-assoc-yes" not in repr(seen) and "tls-yes" not in repr(seen)
    assert outside_quotes(seen).count("integrity-protected") <= 1
    assert len(seen.values("path")) == 1 and s.core in seen.values("path")[0]
    assert s.token(s.victim) not in seen.values("path")[0]
    if s.registered:
        assert s.token(s.client) in seen.values("path")[0]
    assert seen.lines("p-visited-network-id") == ['"example.net"']
    assert len(seen.values("route")) == 1 and "orig" in seen.values("route")[0] and s.sprout in seen.get("route")
    assert not seen.has("p-asserted-identity") and not seen.has("p-served-user") and not seen.has("record-route")


UNPROVEN = Defused(unproven)


def takes(name, tries, *headers, must=UNPROVEN, registered=True, web=False, **more):
    """A REGISTER; braces in what is given are filled from the strike."""
    def make(s):
        return s.register(*[(key, value.format(s=s)) for key, value in headers],
                          **{key: value.format(s=s) if isinstance(value, str) else value
                             for key, value in more.items()})
    attack(tries, must, registered=registered, web=web, name=f"register_{name}")(make)


DIGEST = 'Digest username="{user}", realm="example.net", nonce="n", uri="sip:example.net", response="0"{more}'

takes("the_victim", "take over the victim", aor=VICTIM, web=True)
takes("the_victim_from_oneself", "To and From differ", aor=VICTIM, sender="<sip:{s.client.user}@example.net>;tag=1")
takes("oneself_from_the_victim", "From is the victim", ("Authorization", DIGEST.format(user="victim@example.net", more="")),
      sender=f"<{VICTIM}>;tag=1")
takes("the_victim_with_own_credentials", "one's own proof for another", aor=VICTIM, web=True,
      *[("Authorization", DIGEST.format(user="{s.client.user}@example.net", more=""))])
takes("the_victim_as_proven", "say that it is proven", aor=VICTIM,
      *[("Authorization", DIGEST.format(user="victim@example.net", more=', integrity-protected="tls-yes"'))])
takes("the_victim_in_capitals", "the victim in other letters", aor="sip:%76ICTIM@EXAMPLE.NET")
takes("nobody_of_ours", "a domain that is not home", aor="sip:x@elsewhere.example", uri="sip:elsewhere.example")
takes("with_a_route", "send the REGISTER elsewhere", ("Route", "<sip:{s.stranger};lr>"), aor=VICTIM)
takes("with_a_path", "have the victim's calls come along", ("Path", "<sip:{s.stranger};lr;ob>"), aor=VICTIM, web=True)
takes("with_paths", "several, in one line and in two", ("Path", "<sip:{s.stranger};lr>, <sip:x@{s.core};lr>"),
      ("path", "<sip:{s.stranger};lr>"))
takes("with_visited_networks", "roam", ("P-Visited-Network-ID", '"a", "b"'), ("P-Visited-Network-ID", "c"))
takes("with_an_identity", "an identity asserted in a REGISTER", ("P-Asserted-Identity", f"<{VICTIM}>"),
      ("P-Served-User", f"<{VICTIM}>"), aor=VICTIM)
takes("with_associated_uris", "teach the edge", ("P-Associated-URI", f"<{VICTIM}>"), ("Service-Route", "<sip:{s.stranger};lr>"))
takes("all_gone", "deregister the victim", aor=VICTIM, contact="*", expires=0)
takes("contact_of_the_victim", "the victim's contact as one's own", contact="<{s.victims_contact}>;expires=0")
takes("contact_by_maddr", "have requests sent to a stranger", contact="<sip:x@10.0.0.1;maddr={s.stranger.host}>")
takes("contact_with_headers", "a Route in the contact", contact="<sip:x@10.0.0.1?Route=%3Csip:{s.stranger.host}%3Blr%3E>")
takes("contact_of_a_stranger", "a stranger's address", contact="<sip:x@{s.stranger}>")
takes("contact_of_our_core", "a loop", contact="<sip:x@{s.core};transport=tcp>")
takes("for_ever", "longer than there are numbers", contact="<sip:x@10.0.0.1>;expires=99999999999999999999")
takes("for_less_than_nothing", "a negative time", contact="<sip:x@10.0.0.1>;expires=-1")
takes("reg_id_0", "outbound that is none", contact='<sip:x@10.0.0.1>;+sip.instance="<urn:uuid:1>";reg-id=0')
takes("reg_id_giant", "a number that no one holds", contact='<sip:x@10.0.0.1>;+sip.instance="<urn:uuid:1>";reg-id=18446744073709551617')
takes("reg_id_alone", "without an instance", ("Supported", "path, outbound"), contact="<sip:x@10.0.0.1>;reg-id=1")
takes("instance_of_kilobytes", "much to keep", contact='<sip:x@10.0.0.1>;+sip.instance="<urn:' + "x" * 4000 + '>";reg-id=1')
takes("instance_of_the_victim", "the victim's device", contact='<sip:x@10.0.0.1>;+sip.instance={s.victim.instance};reg-id=1')
takes("ob_everywhere", "a flow where none is asked for", contact="<sip:x@10.0.0.1;ob;lr>;ob;+sip.instance=\"<urn:a>\"")
takes("many_contacts", "more contacts than a gateway has", must=Refused(400, counter="bad_request"),
      contact=", ".join(f"<sip:x@10.0.0.{n}>" for n in range(20)))
takes("star_and_others", "all of them and one", must=Refused(400, closes=True), contact="*, <sip:x@10.0.0.1>", expires=0)
takes("proxy_require", "security by agreement that is none", ("Proxy-Require", "sec-agree"), ("Require", "sec-agree"),
      must=Refused(420, counter="bad_extension", header="unsupported"))
takes("sos", "an emergency to come in by", contact="<sip:x@10.0.0.1;sos>",
      must=Refused(503, counter="emergency", header="retry-after"))
takes("sos_of_a_stranger", "the same without a registration", contact="<sip:x@10.0.0.1>;sos", registered=False,
      must=Refused(503, counter="emergency", header="retry-after"))
takes("the_victim_by_a_stranger", "somebody who was never here", aor=VICTIM, registered=False, web=True,
      *[("Authorization", DIGEST.format(user="victim@example.net", more=", integrity-protected=ip-assoc-yes"))])
takes("all_gone_by_a_stranger", "deregister the victim", aor=VICTIM, contact="*", expires=0, registered=False)


@attack("a REGISTER in small letters is no REGISTER", Defused())
def register_in_small_letters(s):
    return s.message(method="register", uri="sip:example.net")


@attack("the victim's reg-event: whether it may, the registrar decides by who asks", Defused())
def subscribe_to_the_victims_registration(s):
    return s.message(("Event", "reg"), ("Accept", "application/reginfo+xml"), method="SUBSCRIBE", uri=VICTIM)


@attack("the victim's presence", Defused())
def publish_for_the_victim(s):
    return s.message(("Event", "presence"), ("From", f"<{VICTIM}>;tag=1"), method="PUBLISH", uri=VICTIM)


@attack("a NOTIFY out of the blue, which would end the victim's registration", Defused())
def notify_of_a_registration(s):
    return s.message(("Event", "reg"), ("Subscription-State", "terminated"), method="NOTIFY", uri=VICTIM)
