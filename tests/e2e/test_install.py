"""make install, into a directory of the test's own: what is there runs, reads and holds together."""

import os
import re
import subprocess

import pytest

from bono_lab.bono import ROOT


@pytest.fixture(name="root")
def installed(lab):
    root = str(lab.path("root"))
    install(root)
    return root


def install(root):
    build = os.environ.get("BUILD", "build")
    done = subprocess.run(["make", "-s", "install", f"DESTDIR={root}", "PREFIX=/usr", f"BUILD={build}"], cwd=ROOT,
                          capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def test_installed_programs_run_and_check_what_is_installed(root):
    for program in ("bono", "bonoctl", "sprout-sim"):
        assert os.access(f"{root}/usr/bin/{program}", os.X_OK)
    done = subprocess.run([f"{root}/usr/bin/bono", "--check", f"{root}/etc/bono/bono.yaml"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_operators_configuration_is_not_written_over(root):
    with open(f"{root}/etc/bono/bono.yaml", "w", encoding="utf-8") as file:
        file.write("mine\n")
    install(root)
    assert read(root, "etc/bono/bono.yaml") == "mine\n"


def test_links_of_the_installed_pages_lead_somewhere(root):
    doc = f"{root}/usr/share/doc/bono"
    links = 0
    for folder, _, names in os.walk(doc):
        for name in [name for name in names if name.endswith(".md")]:
            for link in re.findall(r"\]\(([^)#]+)", read(folder, name)):
                links += 1
                assert link.startswith("http") or os.path.exists(os.path.join(folder, link)), f"{name}: {link}"
    assert links > 10


def test_the_unit_names_what_is_installed(root):
    unit = read(root, "usr/lib/systemd/system/bono.service")
    assert not re.search(r"@[A-Z]+@", unit)
    program, option, configuration = re.search(r"^ExecStart=(\S+) (\S+) (\S+)$", unit, re.MULTILINE).groups()
    assert os.access(root + program, os.X_OK) and option == "-c" and os.path.exists(root + configuration)
    page = re.search(r"^Documentation=file:(\S+)$", unit, re.MULTILINE).group(1)
    assert os.path.exists(root + page)
