"""Install the real programs that tests and benchmarks run: in CI all of them, on a user's machine what needs no root.

Debian packages by apt-get (CI, as root), Anvil from npm and OctoPrint from PyPI into `.cache/`, which is kept between
runs. `tests/conftest.py` skips what is missing on a user's machine with the reason; with CI=true nothing is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache"
DEBIAN = {"age": "age", "prusa-slicer": "prusa-slicer"}
ANVIL = "@foundry-rs/anvil@1.7.1"
SOLIDITY = ("solady@0.1.26", "solc@0.8.30")


def program(name: str) -> str | None:
    """The path of a program, or None where it is not installed."""
    local = CACHE / "npm" / "node_modules" / ".bin" / name
    if local.exists():
        return str(local)
    if name == "octoprint":
        path = CACHE / "octoprint" / "bin" / "octoprint"
        return str(path) if path.exists() else None
    return shutil.which(name)


def run(*command: str, **kwargs: object) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **kwargs)  # type: ignore[call-overload]


def install_debian() -> None:
    missing = [package for name, package in DEBIAN.items() if not program(name)]
    if not missing:
        return
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run("apt-get", "update", "-qq", env=environment)
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=environment)


def install_npm() -> None:
    folder = CACHE / "npm"
    if program("anvil") and (folder / "node_modules" / "solc").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", ANVIL, *SOLIDITY, cwd=folder)


def install_octoprint() -> None:
    folder = CACHE / "octoprint"
    if program("octoprint"):
        return
    run(sys.executable, "-m", "venv", str(folder))
    uv = Path(sys.executable).with_name("uv")
    run(
        str(uv), "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"),
        "--require-hashes", "-r", str(ROOT / "requirements" / "octoprint.txt"),
    )


def main() -> int:
    in_ci = os.environ.get("CI") == "true"
    if in_ci:
        install_debian()
    for step in (install_npm, install_octoprint):
        try:
            step()
        except (OSError, subprocess.CalledProcessError) as error:
            if in_ci:
                raise
            print(f"{step.__name__}: {error}; the tests that need it will be skipped", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
