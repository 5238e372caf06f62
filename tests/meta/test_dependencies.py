"""Licenses of everything that is installed with Printright, extras included, as its own metadata names them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]

PERMISSIVE = {
    "0bsd", "apache 2.0", "apache-2.0", "apache software license", "bsd", "bsd license", "bsd-2-clause", "bsd-3-clause",
    "cnri-python", "isc", "isc license (iscl)", "mit", "mit license", "mit-0", "mit-cmu", "public domain", "psf-2.0",
    "python software foundation license", "unlicense", "zlib",
}  # fmt: skip
# Weak copyleft: used unmodified, and each with its reason. LGPL would stand here too; GPL and AGPL nowhere.
WEAK = {
    "certifi": ("mozilla public license 2.0 (mpl 2.0)", "Mozilla's list of certificates, as data, through web3"),
}


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(each) for each in [*project["dependencies"], *(each for extra in extras for each in extra)]]


def applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


def installed_with(roots: list[Requirement]) -> dict[str, metadata.Distribution]:
    """Every distribution that these requirements bring along on this platform."""
    found: dict[str, metadata.Distribution] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    todo = list(roots)
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in done:
            continue
        done.add((name, extras))
        found[name] = metadata.distribution(name)
        children = [Requirement(each) for each in found[name].requires or []]
        todo += [child for child in children if applies(child, extras)]
    return found


def licenses_of(distribution: metadata.Distribution) -> list[list[str]]:
    """Alternatives, each a list of licenses that all apply; empty where the package names none."""
    about = distribution.metadata
    expression = about.get("License-Expression")
    if expression:
        plain = expression.replace("(", " ").replace(")", " ").lower()
        return [
            [part.strip() for part in re.split(r"\s+and\s+", alternative)]
            for alternative in re.split(r"\s+or\s+", plain)
        ]
    classifiers = [each.split(" :: ") for each in about.get_all("Classifier") or [] if each.startswith("License")]
    # Several classifiers are alternatives by custom, but nothing says so: all must do.
    named = [each[-1].lower() for each in classifiers if each[-1] != "OSI Approved"]
    named = named or [each for each in [(about.get("License") or "").strip().lower()] if each]
    return [named] if named else []


def acceptable(name: str, distribution: metadata.Distribution) -> bool:
    allowed = PERMISSIVE | ({WEAK[name][0]} if name in WEAK else set())
    return any(set(alternative) <= allowed for alternative in licenses_of(distribution))


def test_licenses_of_all_dependencies_are_permissive() -> None:
    found = installed_with(requirements())
    assert len(found) > 40
    assert {"cryptography", "web3", "py-evm", "pillow", "python-pkcs11"} <= found.keys()
    wrong = {name: licenses_of(each) for name, each in found.items() if not acceptable(name, each)}
    assert not wrong, f"not on the list of permissive licenses: {wrong}"
    assert WEAK.keys() <= found.keys(), "an exception for a package that is not used"


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ("License-Expression: MIT", True),
        ("License-Expression: Apache-2.0 AND CNRI-Python", True),
        ("License-Expression: GPL-2.0-only OR BSD-3-Clause", True),
        ("Classifier: License :: OSI Approved :: BSD License", True),
        ("License: MIT", True),
        ("License-Expression: AGPL-3.0-only", False),
        ("License-Expression: MIT AND LGPL-2.1-or-later", False),
        ("Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)", False),
        (
            "Classifier: License :: OSI Approved :: MIT License\n"
            "Classifier: License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)",
            False,
        ),
        ("License: Proprietary", False),
        ("Summary: names no license", False),
    ],
)
def test_the_look_at_licenses_sees_copyleft(tmp_path: Path, fields: str, good: bool) -> None:
    (tmp_path / "METADATA").write_text(f"Metadata-Version: 2.4\nName: some\nVersion: 1\n{fields}\n")
    assert acceptable("some", metadata.PathDistribution(tmp_path)) is good


def test_no_dependency_of_the_core_is_an_extra_s() -> None:
    """The embedded ledger, tokens and reading of pictures stay out of a plain installation."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = installed_with([Requirement(each) for each in project["dependencies"]])
    assert not {"py-evm", "pillow", "python-pkcs11", "zxing-cpp"} & core.keys()
