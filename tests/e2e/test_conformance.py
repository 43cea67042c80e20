"""docs/CONFORMANCE.md names tests that exist."""

import re

from attacks import ANSWERS, ATTACKS
from bono_lab.bono import ROOT

PAGE = (ROOT / "docs/CONFORMANCE.md").read_text(encoding="utf-8").partition("## Rules")[2]
PATHS = re.findall(r"\btests/[\w/.-]*\w", PAGE)        # written out in full
RULES = re.sub(r"\btests/[\w/.-]*\w", "", PAGE)
TESTS = "\n".join(path.read_text(encoding="utf-8") for pattern in ("unit/*/*_test.c", "e2e/test_*.py")
                  for path in (ROOT / "tests").glob(pattern)) + "\n".join([*ATTACKS, *ANSWERS])


def test_every_named_file_exists():
    names = re.findall(r"\b([a-z]+/\w+?)(?=[ ;,|)])", RULES)
    assert len(names) > 30
    for name in names:
        folder, _, module = name.partition("/")
        if folder not in ("e2e", "unit", "data"):
            assert (ROOT / f"tests/unit/{folder}/{module}_test.c").is_file(), name
    for path in PATHS:
        assert (ROOT / path).exists(), path
    for name in re.findall(r"\be2e/(\w+\.py)", RULES):
        assert (ROOT / "tests/e2e" / name).is_file(), name


def test_every_named_test_exists():
    """A name may be cut short by dots or a star."""
    names = re.findall(r"\b([a-z][a-z0-9]*(?:_[a-z0-9]+){2,})", RULES)
    assert len(names) > 60
    missing = [name for name in names if f"{name}" not in TESTS and not (ROOT / f"tests/e2e/{name}.py").is_file()]
    assert not missing, missing


def test_every_named_attack_is_in_the_book():
    named = [name for names in re.findall(r"e2e/test_attacks\.py \(([^)]*)\)", RULES) for name in names.split(", ")]
    assert len(named) > 10
    for name in named:
        begin = name.rstrip("*")
        assert [one for one in (*ATTACKS, *ANSWERS) if one == name or name.endswith("*") and one.startswith(begin)], name
