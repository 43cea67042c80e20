"""A certification authority of one's own, by the openssl command: P-256 keys, sound and unsound certificates."""

import datetime
import ipaddress
import pathlib
import subprocess


class Certificate:
    """PEM files: `.certificate` (leaf first, then what stands between it and the root), `.key`. What it was when it was
    issued is told even after the files were written over."""

    def __init__(self, certificate, key):
        self.certificate = str(certificate)
        self.key = str(key)
        self.pem = pathlib.Path(certificate).read_text(encoding="ascii")

    def _x509(self, *words):
        return openssl("x509", "-noout", *words, text=self.pem).strip()

    @property
    def serial(self):
        """As `openssl s_client` and x509 print it: hexadecimal."""
        return self._x509("-serial").split("=", 1)[1]

    @property
    def not_after(self):
        """Seconds since the epoch."""
        text = self._x509("-enddate").split("=", 1)[1]
        return int(datetime.datetime.strptime(text, "%b %d %H:%M:%S %Y %Z")
                   .replace(tzinfo=datetime.timezone.utc).timestamp())


def openssl(*words, text=None):
    done = subprocess.run(["openssl", *map(str, words)], input=text, capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 0, f"openssl {' '.join(map(str, words))}:\n{done.stderr}"
    return done.stdout


CONFIG = """\
[ca]
default_ca = own
[own]
database = {directory}/index
new_certs_dir = {directory}/issued
rand_serial = yes
certificate = {directory}/ca.pem
private_key = {directory}/ca.key
default_md = sha256
unique_subject = no
policy = any
[any]
commonName = supplied
"""

ROOT_EXTENSIONS = """\
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""


def stamp(moment):
    return moment.strftime("%Y%m%d%H%M%SZ")


class Authority:
    """`.ca` is the root's PEM file. Two of them know nothing of each other, whatever their names say."""

    def __init__(self, directory, name="Test root"):
        self.directory = pathlib.Path(directory)
        (self.directory / "issued").mkdir(parents=True, exist_ok=True)
        (self.directory / "index").write_text("")
        (self.directory / "ca.cnf").write_text(CONFIG.format(directory=self.directory))
        self.ca = str(self.directory / "ca.pem")
        self._certify(name, "ca", ROOT_EXTENSIONS, "root",
                      *self._dates(3650, None), "-selfsign")

    @staticmethod
    def _dates(days, not_before):
        """days: of validity from not_before, which is a datetime, or days from now (negative: ago); negative days without
        not_before: it ended that long ago."""
        now = datetime.datetime.now(datetime.timezone.utc)
        if not_before is None:
            begin = now - datetime.timedelta(days=365 if days < 0 else 1)
            end = now + datetime.timedelta(days=days)
        else:
            begin = not_before if isinstance(not_before, datetime.datetime) \
                else now + datetime.timedelta(days=not_before)
            end = begin + datetime.timedelta(days=days)
        return "-startdate", stamp(begin), "-enddate", stamp(end)

    def _certify(self, common_name, file, extensions, section, *words):
        key, request = self.directory / f"{file}.key", self.directory / f"{file}.csr"
        certificate, ext = self.directory / f"{file}.pem", self.directory / f"{file}.ext"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", key, "-out", request, "-subj", f"/CN={common_name}")
        key.chmod(0o600)
        ext.write_text(extensions)
        openssl("ca", "-batch", "-notext", "-config", self.directory / "ca.cnf", "-in", request,
                "-out", certificate, "-keyfile", self.directory / "ca.key", "-extfile", ext,
                "-extensions", section, *words)
        return Certificate(certificate, key)

    def issue(self, name, names=(), ips=(), uris=(), days=90, not_before=None, common_name=None,
              usage="serverAuth,clientAuth", authority=False):
        """A certificate in NAME.pem and NAME.key; an earlier one of this name is written over in place.
        names, ips, uris: subjectAltName; `sip:...` among names is a URI. days: -3 has expired three days ago.
        not_before: 3 is not yet valid. authority: one that may itself sign (see `under`)."""
        alternatives = [f"URI:{n}" if n.startswith(("sip:", "sips:")) else f"DNS:{n}" for n in names]
        alternatives += [f"IP:{ipaddress.ip_address(ip)}" for ip in ips]
        alternatives += [f"URI:{uri}" for uri in uris]
        extensions = ("[leaf]\nbasicConstraints = critical,CA:FALSE\n"
                      f"keyUsage = critical,digitalSignature\nextendedKeyUsage = {usage}\n")
        if authority:
            extensions = ROOT_EXTENSIONS.replace("[root]", "[leaf]")
        extensions += "authorityKeyIdentifier = keyid\n"
        if alternatives:
            extensions += f"subjectAltName = {','.join(alternatives)}\n"
        return self._certify(common_name or name, name, extensions, "leaf",
                             *self._dates(days, not_before))

    def expired(self, name, **words):
        return self.issue(name, days=-2, **words)

    def not_yet_valid(self, name, **words):
        return self.issue(name, days=30, not_before=2, **words)

    def under(self, directory, name="Test intermediate"):
        """An authority below this one: what it issues carries its certificate as chain, `.ca` is the root's."""
        between = self.issue("intermediate", common_name=name, authority=True)
        return Intermediate(self, between, directory)


class Intermediate(Authority):
    def __init__(self, root, own, directory):
        self.directory = pathlib.Path(directory)
        (self.directory / "issued").mkdir(parents=True, exist_ok=True)
        (self.directory / "index").write_text("")
        (self.directory / "ca.cnf").write_text(CONFIG.format(directory=self.directory))
        self.chain = pathlib.Path(own.certificate).read_text()
        (self.directory / "ca.pem").write_text(self.chain)
        (self.directory / "ca.key").write_text(pathlib.Path(own.key).read_text())
        (self.directory / "ca.key").chmod(0o600)
        self.ca = root.ca

    def issue(self, name, **words):
        issued = super().issue(name, **words)
        with open(issued.certificate, "a", encoding="ascii") as file:
            file.write(self.chain)
        return issued
