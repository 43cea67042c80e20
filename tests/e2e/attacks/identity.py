"""Who am I: identities, standing, charging and other words of the network in a client's mouth."""

from .stage import Defused, Dropped, Refused, attack, lied

VICTIM = "<sip:victim@example.net>"


def spoof(name, tries, *headers, must=None, web=False, method="MESSAGE"):
    attack(tries, must or Defused(), web=web, name=name)(
        lambda s: s.message(*[(key, value.format(s=s)) for key, value in headers], method=method))


spoof("pai", "be the victim", ("P-Asserted-Identity", VICTIM), web=True)
spoof("pai_in_mixed_case", "be the victim by a header that a filter may not know", ("p-aSSERTED-idENTITY", VICTIM))
spoof("pai_twice", "hide a second one behind the first", ("P-Asserted-Identity", VICTIM),
      ("P-Asserted-Identity", "<tel:+15551234>"))
spoof("pai_list", "two values in one line", ("P-Asserted-Identity", f"{VICTIM}, <tel:+15551234>"), web=True)
spoof("pai_folded", "hide it in a fold", ("P-Asserted-Identity", f"\r\n {VICTIM}"))
spoof("pai_folded_twice", "fold within the value", ("P-Asserted-Identity", f'"Victim"\r\n\t{VICTIM}\r\n ;x=1'))
spoof("pai_space_before_colon", "hide it by a blank", ("P-Asserted-Identity ", VICTIM))
spoof("pai_tab_before_colon", "hide it by a tab", ("P-Asserted-Identity\t", VICTIM))
spoof("pai_malformed", "one that cannot be read goes too", ("P-Asserted-Identity", "<<<sip:victim@"))
spoof("pai_empty", "an empty first one, so that another is read", ("P-Asserted-Identity", ""),
      ("P-Asserted-Identity", VICTIM))
spoof("pai_in_an_invite", "the same in an INVITE", ("P-Asserted-Identity", VICTIM), method="INVITE")
spoof("ppi_of_the_victim", "prefer another's identity", ("P-Preferred-Identity", VICTIM), web=True)
spoof("ppi_of_another_tel", "prefer another's number", ("P-Preferred-Identity", "<tel:+15551234>"))
spoof("ppi_five_times", "own and others' mixed", *[("P-Preferred-Identity", f"<sip:v{n}@example.net>") for n in "1234"],
      ("P-Preferred-Identity", VICTIM))
spoof("ppi_with_a_name", "another's name shown with one's own identity",
      ("P-Preferred-Identity", '"<sip:victim@example.net>" <sip:{s.client.user}@example.net>'))
spoof("ppi_with_headers", "headers in the URI",
      ("P-Preferred-Identity", "<sip:{s.client.user}@example.net?P-Asserted-Identity=sip:victim@example.net>"))
spoof("ppi_with_injection", "a line break in the user part",
      ("P-Preferred-Identity", "<sip:{s.client.user}%0d%0aX-Injected:1@example.net>"))
spoof("served_user", "be served as the victim", ("P-Served-User", f"{VICTIM};sescase=orig;regstate=reg"), web=True)
spoof("charging_vector", "have another pay",
      ("P-Charging-Vector", "icid-value=stolen;icid-generated-at=192.0.2.1;orig-ioi=other"), web=True)
spoof("charging_functions", "send the bill elsewhere", ("P-Charging-Function-Addresses", "ccf=192.0.2.1; ecf=192.0.2.2"))
spoof("visited_network", "roam where nobody is", ("P-Visited-Network-ID", '"other.net"'))
spoof("associated_uri", "teach the core one's identities", ("P-Associated-URI", VICTIM))
spoof("called_party", "name who was called", ("P-Called-Party-ID", VICTIM))
spoof("profile_key", "another's profile", ("P-Profile-Key", VICTIM), ("P-User-Database", "<aaa://evil.example>"))
spoof("remote_party", "what P-Asserted-Identity was before", ("Remote-Party-ID", f"{VICTIM};party=calling;screen=yes"))
spoof("path_in_a_message", "a Path where none belongs", ("Path", "<sip:{s.stranger};lr>"))
spoof("service_route_in_a_request", "steer the edge by a Service-Route", ("Service-Route", "<sip:{s.stranger};lr>"))
spoof("resource_priority", "pass before others", ("Resource-Priority", "wps.0, ets.0"))
spoof("network_words", "words that only networks say", ("Feature-Caps", "*;+g.3gpp.srvcc"), ("Restoration-Info", "x"),
      ("Relayed-Charge", "x"), ("Response-Source", "x"), ("P-Private-Network-Indication", "evil.example"))


def no_call_back(_, seen):
    assert "psap" not in (seen.get("priority") or "").lower()


def access_by_the_client(_, seen):
    assert "network-provided" not in (seen.get("p-access-network-info") or "")


spoof("network_provided_access", "be where the network says one is",
      ("P-Access-Network-Info", "3GPP-UTRAN-TDD;utran-cell-id-3gpp=1;NETWORK-provided"), must=Defused(access_by_the_client))
spoof("network_provided_in_a_list", "the same behind an honest value", ("P-Access-Network-Info", 'IEEE-802.11;i-wlan-node-id="a,b",'
      " 3GPP-UTRAN-TDD;utran-cell-id-3gpp=1; network-provided"), must=Defused(access_by_the_client))
spoof("psap_callback", "ring as the emergency centre", ("Priority", "PSAP-callback"),
      must=Defused(no_call_back))

for number, value in enumerate((
        'Digest username="u", integrity-protected="yes", response="0"',
        "Digest username=u,INTEGRITY-PROTECTED = tls-yes",
        'Digest integrity-protected="ip-assoc-yes"',
        'Digest integrity-protected=yes, integrity-protected="yes", x="1"',
        'Digest realm="a\\\\", integrity-protected="yes", y="b"',
        'Digest realm="a\\", integrity-protected=\\"no", integrity-protected="yes"',
        'Digest realm="r"\r\n ,\r\n\tintegrity-protected\r\n =\r\n "yes"',
        "Digest integrity-protected")):
    for kind in ("Authorization", "Proxy-Authorization"):
        spoof(f"standing_{number}_in_{kind.lower().replace('-', '_')}", "claim to be proven", (kind, value))
spoof("standing_in_the_second_line", "claim it in a line behind an honest one",
      ("Authorization", 'Digest username="u", realm="r", response="0"'),
      ("authorization", 'Digest username="u", Integrity-Protected="yes"'))

spoof("from_of_the_victim", "be the victim in From", ("From", f"{VICTIM};tag=1"), web=True)
spoof("privacy_of_all_kinds", "ask for what would leave the core without an identity",
      ("Privacy", "id;user;header;session;critical;none"))
spoof("history_of_the_victim", "a diverted call that was none", ("History-Info", f"{VICTIM};index=1, <sip:x@example.net>;index=1.1"))
spoof("diversion_of_the_victim", "the same by its older name", ("Diversion", f"{VICTIM};reason=unconditional"))
spoof("critical_privacy_by_proxy_require", "make the edge a privacy service",
      ("Proxy-Require", "privacy"), ("Privacy", "header;critical"), must=Refused(420, counter="bad_extension", header="unsupported"))


@attack("a second header by a lone line feed", Dropped(), web=True)
def pai_behind_a_bare_lf(s):
    return s.message(("Subject", f"x\nP-Asserted-Identity: {VICTIM}"))


@attack("a second header by a lone carriage return", Refused(400, closes=True))
def pai_behind_a_bare_cr(s):
    return s.message(("Subject", f"x\rP-Asserted-Identity: {VICTIM}"))


@attack("a name that ends where a reader in C stops", Refused(400, closes=True))
def pai_behind_a_nul(s):
    return s.message(("Subject", f"x\0\r\nP-Asserted-Identity: {VICTIM}"))


@attack("a name with a character that some readers trim", Refused(400, closes=True))
def pai_with_a_vertical_tab(s):
    return lied(s.message(("Subject", "x")), b"Subject:", b"P-Asserted-Identity\x0b:")


@attack("a name that only looks like it", Refused(400, closes=True))
def pai_in_unicode(s):
    return lied(s.message(("Subject", "x")), b"Subject:", "P\u2010Asserted\u2010Identity:".encode())


@attack("a line without a colon", Refused(400, closes=True))
def pai_without_a_colon(s):
    return lied(s.message(("Subject", "x")), b"Subject: x", f"P-Asserted-Identity {VICTIM}".encode())


@attack("headers in the body, for who reads on behind the empty line", Defused())
def pai_in_the_body(s):
    return s.message(("Content-Type", "text/plain"),
                     body=f"P-Asserted-Identity: {VICTIM}\r\nX-Injected: 1\r\n\r\n".encode())
