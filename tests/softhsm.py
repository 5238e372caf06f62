"""SoftHSM2 tokens for tests: a folder of its own, tokens in it, and what a hand does to a real one: pull it out."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from programs import program

PIN = "1234-pin-of-a-test"
SO_PIN = "5678-so-pin-of-a-test"


@dataclass(frozen=True)
class SoftHsm:
    """A folder with `softhsm2.conf`; SOFTHSM2_CONF names it to whoever is to see its tokens."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> SoftHsm:
        (folder / "tokens").mkdir(parents=True, exist_ok=True)
        text = f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
        (folder / "softhsm2.conf").write_text(text)
        return cls(folder)

    def copy(self, folder: Path) -> SoftHsm:
        """The same tokens in another folder."""
        shutil.copytree(self.folder / "tokens", folder / "tokens")
        return SoftHsm.at(folder)

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    def token(self, label: str | None = None, pin: str = PIN) -> str:
        """Make a token; returns its label."""
        label = label or f"token {secrets.token_hex(4)}"
        self.util("--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", SO_PIN)
        return label

    def util(self, *arguments: str) -> str:
        command = [str(program("softhsm2-util")), *arguments]
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def pull_out(self) -> None:
        """All tokens are gone, for running processes too."""
        (self.folder / "tokens").rename(self.folder / "pulled out")
        (self.folder / "tokens").mkdir()

    def plug_in(self) -> None:
        (self.folder / "tokens").rmdir()
        (self.folder / "pulled out").rename(self.folder / "tokens")
