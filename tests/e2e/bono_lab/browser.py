"""Chromium, Debian's, without a window, driven over its DevTools pipe; and the phones that run in its pages
(tests/e2e/browser/phones.js)."""

import http.server
import json
import os
import pathlib
import select
import subprocess
import threading
import time

from .bono import program
from .process import Process
from .wait import PATIENCE, until

PAGE = pathlib.Path(__file__).resolve().parent.parent / "browser" / "page.html"
# A fresh profile that asks nobody on the Internet for anything; a microphone that beeps; and for
# media one candidate, which tells an address instead of a name for mDNS: baresip loses itself among several.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage", "--mute-audio",
         "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
         "--autoplay-policy=no-user-gesture-required",
         "--force-webrtc-ip-handling-policy=default_public_interface_only",
         "--disable-features=WebRtcHideLocalIpsWithMdns,Translate,OptimizationHints",
         "--remote-debugging-pipe"]


def bundle():
    path = program("browser/phones.js")
    assert path.is_file(), f"{path} is not there: make browser"
    return path.read_bytes()


class PhonePages:
    """An HTTP server for the page: every host of the scene's network that serves it is an origin of its own."""

    def __init__(self, lab, ip):
        files = {"/": ("text/html", PAGE.read_bytes()), "/phones.js": ("text/javascript", bundle())}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                kind, body = files.get(self.path, (None, b""))
                self.send_response(200 if kind else 404)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((ip, 0), Handler)
        self.origin = f"http://{ip}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        lab.add(self)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def trust(home, ca):
    """A home whose NSS database holds this root, and only this."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for words in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "test root", "-i", ca]):
        done = subprocess.run(["certutil", "-d", f"sql:{database}", *words], capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == 0, f"certutil {' '.join(words)}: {done.stderr}"


class Browser(Process):
    """ca: a root that it trusts besides its own. names: {host name: address}, instead of DNS."""

    count = 0

    def __init__(self, lab, ca=None, names=None):
        Browser.count += 1
        home = lab.path(f"browser-{Browser.count}")
        home.mkdir()
        if ca is not None:
            trust(home, ca)
        argv = ["chromium", *FLAGS, f"--user-data-dir={home / 'profile'}"]
        # Whatever else it should look for is nowhere: nothing leaves this machine.
        rules = [f"MAP {name} {ip}" for name, ip in (names or {}).items()] + ["MAP * ~NOTFOUND",
                                                                              "EXCLUDE 127.*"]
        argv += [f"--host-resolver-rules={', '.join(rules)}", "about:blank"]
        to_it, self.writer = os.pipe()
        self.reader, from_it = os.pipe()
        # Its end of the pipe is descriptors 3 and 4.
        shell = f'exec 3<&{to_it} 4>&{from_it}; exec "$@"'
        for end in (to_it, from_it):
            os.set_inheritable(end, True)
        super().__init__(f"browser {Browser.count}", ["bash", "-c", shell, "browser", *argv],
                         lab.path(f"browser-{Browser.count}.log"),
                         env={"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)},
                         inherit=(to_it, from_it))
        os.close(to_it)
        os.close(from_it)
        lab.add(self)
        self.serial, self.buffer, self.answers, self.notes = 0, b"", {}, []
        self.command("Browser.getVersion", patience=60)

    def read(self, seconds):
        """Take in what it has said meanwhile: objects of JSON, each ended by a NUL."""
        if not select.select([self.reader], [], [], seconds)[0]:
            return
        data = os.read(self.reader, 1 << 20)
        assert data, f"{self.name} ended:\n{self.tail()}"
        *whole, self.buffer = (self.buffer + data).split(b"\0")
        for raw in whole:
            said = json.loads(raw)
            if "id" in said:
                self.answers[said["id"]] = said
            else:
                self.notes.append(said)

    def command(self, method, session=None, patience=PATIENCE * 2, **parameters):
        self.serial += 1
        ask = {"id": self.serial, "method": method, "params": parameters}
        if session is not None:
            ask["sessionId"] = session
        os.write(self.writer, json.dumps(ask).encode() + b"\0")
        end = time.monotonic() + patience
        while self.serial not in self.answers:
            assert time.monotonic() < end, f"{self.name}: no answer to {method}:\n{self.tail()}"
            self.read(0.2)
        answer = self.answers.pop(self.serial)
        assert "error" not in answer, f"{self.name}: {method}: {answer['error']}"
        return answer["result"]

    def page(self, url):
        return Page(self, url)

    def stop(self, patience=10):
        super().stop(patience)
        for end in (self.reader, self.writer):
            if end is not None:
                os.close(end)
        self.reader = self.writer = None

    def complaints(self):
        return ""           # not the program under test


class Page:
    """A tab of its own."""

    def __init__(self, browser, url):
        self.browser = browser
        self.target = browser.command("Target.createTarget", url=url)["targetId"]
        self.session = browser.command("Target.attachToTarget", targetId=self.target,
                                       flatten=True)["sessionId"]
        for domain in ("Runtime", "Log"):
            browser.command(f"{domain}.enable", self.session)
        until(lambda: self.run("document.readyState === 'complete' && location.href !== 'about:blank'"),
              f"{url} to load")

    def run(self, expression):
        """The value of an expression, awaited if it is a promise."""
        answer = self.browser.command("Runtime.evaluate", self.session, expression=expression,
                                      awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def console(self):
        """What the browser itself complained of, and the page's warnings."""
        lines = []
        for note in self.browser.notes:
            if note.get("sessionId") != self.session:
                continue
            if note["method"] == "Log.entryAdded":
                lines.append(note["params"]["entry"]["text"])
            elif note["method"] == "Runtime.consoleAPICalled" \
                    and note["params"]["type"] in ("warning", "error"):
                lines += [str(word.get("value", "")) for word in note["params"]["args"]]
        return lines

    def close(self):
        self.browser.command("Target.closeTarget", targetId=self.target)


class WebPhone(Page):
    """maker: jssip or sipjs. edge: the URL of the WebSocket. It answers every call at once."""

    def __init__(self, browser, pages, maker, user, edge, domain="example.net", password="secret"):
        super().__init__(browser, pages.origin + "/")
        self.maker, self.user = maker, user
        options = {"user": user, "domain": domain, "password": password, "server": edge}
        self.run(f"take({json.dumps(maker)}, {json.dumps(options)})")

    def events(self, kind):
        return [event for event in self.run("phone.events") if event.split()[0] == kind]

    def wait_for(self, kind, count=1):
        try:
            return until(lambda: len(self.events(kind)) >= count and self.events(kind),
                         f"{kind} at {self.maker} {self.user}", every=0.1)[-1]
        except AssertionError as fault:
            raise AssertionError(f"{fault}; events {self.run('phone.events')}; calls "
                                 f"{self.calls()}; {self.console()[-20:]}") from None

    def register(self):
        before = len(self.events("registered"))
        self.wait_for("connected")
        self.run("phone.register()")
        self.wait_for("registered", before + 1)
        return self

    def unregister(self):
        before = len(self.events("unregistered"))
        self.run("phone.unregister()")
        self.wait_for("unregistered", before + 1)

    def calls(self):
        """[state, why] of every call so far."""
        return self.run("phone.calls.map(call => [call.state, call.why])")

    def wait_for_call(self, state, count=1):
        """The newest call, the count-th, to be in this state; gives why."""
        def stands():
            calls = self.calls()
            return len(calls) >= count and calls[-1][0] == state and calls[-1]
        try:
            return until(stands, f"call {count} {state} at {self.maker} {self.user}", every=0.1)[1]
        except AssertionError as fault:
            raise AssertionError(f"{fault}; calls {self.calls()}; events {self.run('phone.events')}; "
                                 f"{self.console()[-20:]}") from None

    def call(self, user):
        self.run(f"phone.call({json.dumps(user)})")

    def hang_up(self):
        self.run("phone.hangUp()")

    def text(self, user, words):
        self.run(f"phone.text({json.dumps(user)}, {json.dumps(words)})")

    def media(self):
        return self.run("phone.media()")

    def wait_for_media(self, packets=20):
        def flows():
            media = self.media()
            return media["received"] >= packets and media["sent"] >= packets and media
        try:
            return until(flows, f"media at {self.maker} {self.user}", every=0.1)
        except AssertionError as fault:
            raise AssertionError(f"{fault}: {self.media()}") from None
