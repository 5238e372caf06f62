"""The source: its layers, its size, what its packages export, its version, and what must not be in any file."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import printright

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "printright"
SOURCES = sorted(SRC.rglob("*.py"))
MAX_LINES = 400
# A table with one short class for each reason of the contracts: two files of it would be harder to read than one.
LONGER = {"ledger/refusals.py"}

# What other code may rely on. A name added or gone is a change for the CHANGELOG.
EXPORTS = {
    "printright": ["__version__"],
    "printright.ledger": ["Call", "Event", "Ledger", "Network", "Receipt", "Signer"],
    "printright.ledger.embedded": ["Settings", "serve"],
    "printright.units.drivers.moonraker": ["MoonrakerDriver", "Traces"],
    "printright.units.drivers.octoprint": ["OctoPrintDriver"],
    "printright.units.drivers.simulator": [
        "Faults", "Firmware", "FirmwareSettings", "Simulator", "serve_simulator", "transcript_digest",
    ],
    "printright.units.guard": ["PREAMBLE", "Finding", "Guard", "GuardProfile", "GuardReport", "KlipperGuard"],
    "printright.vault": [
        "Custodian", "Details", "FileDetails", "Manifest", "Package", "PublishedPackage", "Store", "UnlockedPackage",
        "fetch_manifest", "open_package", "publish_package",
    ],
    "printright.vault.secure_content": [
        "NO_LICENSE", "Binding", "Limits", "PlainFile", "Recipient", "Sealed", "SecureFile", "UnlockedFile",
        "check_plain", "seal", "stl_to_3mf",
    ],
    "printright.vault.keys": [
        "WORK_FACTOR", "CreatedKeys", "LedgerKey", "SoftwareLedgerKey", "SoftwareUnsealingKey", "UnsealingKey",
        "create_keys", "open_ledger_key", "open_unsealing_key",
    ],
}  # fmt: skip


def committed() -> list[Path]:
    """The files of the repository, as git has them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_layers_hold() -> None:
    """domain <- ledger, vault <- services <- units <- cli: an import against the arrow makes this red."""
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 broken" in ran.stdout


def test_exports_are_the_pinned_ones() -> None:
    found = {}
    for path in SRC.rglob("__init__.py"):
        name = ".".join(("printright", *path.parent.relative_to(SRC).parts))
        module = importlib.import_module(name)
        assert module.__doc__ or name == "printright", f"{name} has no docstring"
        if hasattr(module, "__all__"):
            found[name] = sorted(module.__all__)
            for each in module.__all__:
                assert getattr(module, each, None) is not None, f"{name} exports {each} and has it not"
    assert found == {name: sorted(names) for name, names in EXPORTS.items()}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SRC)))
def test_file_is_short_finished_and_of_python_3_11(path: Path) -> None:
    text = path.read_text()
    name = str(path.relative_to(SRC))
    if name not in LONGER:
        assert len(text.splitlines()) <= MAX_LINES, f"{name} is two files"
    tree = ast.parse(text, feature_version=(3, 11))
    assert ast.get_docstring(tree) or name in ("__init__.py", "__main__.py"), f"{name} does not say what it is for"
    unfinished = "TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"
    assert not [word for word in unfinished if re.search(rf"\b{word}\b", text)]
    assert path.stem not in ("utils", "helpers", "common", "manager")


def test_no_committed_file_names_a_package_index_or_a_builder_s_path() -> None:
    """What is installed from where is the installer's business: hashes are in the locks, addresses nowhere."""
    # Put together here, so that this file does not name them.
    forbidden = [
        "pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js", "npm" + "js.com", "yarn" + "pkg.com",
        "crates" + ".io", "proxy.go" + "lang.org", "deb.debian" + ".org", "--index" + "-url", "--extra-index" + "-url",
        "/wo" + "rk/", "/ro" + "ot/",
    ]  # fmt: skip
    named = []
    for path in committed():
        data = path.read_bytes()
        named += [f"{path.relative_to(ROOT)}: {word}" for word in forbidden if word.encode() in data]
    assert not named


def test_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == printright.__version__
    assert project["requires-python"] == ">=3.11"


def test_locks_have_a_hash_for_everything() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        logical = lock.read_text().replace("\\\n", " ").splitlines()
        packages = [line for line in logical if line.strip() and not line.lstrip().startswith("#")]
        assert packages, lock
        assert not [line for line in packages if "==" not in line or "--hash=sha256:" not in line], lock
