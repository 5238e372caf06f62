"""What must not be found: plaintext, design key, part codes and password, in any file, log or output of anybody."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import pytest
from fault_town import FIRST, LAST, PASSWORD, Town, through, until
from test_fault_kill import Shift

from printright.cli.agent_client import AgentClient
from printright.domain.part import PartLabel
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from printright.vault.custody import open_share, recover_key
from printright.vault.manifest import Manifest

pytestmark = pytest.mark.needs("cc")


def spellings(secret: bytes) -> set[bytes]:
    return {secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret).rstrip(b"=")[:-1]}


def traces(secrets: dict[str, set[bytes]], roots: list[Path], *, but: set[Path]) -> list[str]:
    """Where a secret lies, in files below the roots."""
    found = []
    for root in roots:
        for path in (root,) if root.is_file() else root.rglob("*"):
            if not path.is_file() or path in but:
                continue
            data = path.read_bytes()
            found += [f"{name} in {path}" for name, forms in secrets.items() if any(form in data for form in forms)]
    return found


def test_secrets_are_nowhere(faults: Town, tmp_path: Path) -> None:
    # Red where the agent kept a plaintext file (`_chunks` through a temporary file), the journal the job's secret
    # unsealed (`Reporter.new_entry`), or a command its password.
    home_of_password = {path for path in faults.folder.rglob("password") if path.is_file()}
    published = {faults.folder / "part.gcode"}
    with Simulator(FirmwareSettings(keep_transcript=True, time_scale=3.0), link=tmp_path / "port") as printer:
        shift = Shift.begin(faults, "canary")
        through(shift.home, faults, port=str(tmp_path / "port"))
        shift.printer, shift.printed = printer, 0
        agent = faults.agent(shift.home)
        client = AgentClient(shift.home)
        client.post("/v1/jobs", {"license": shift.license.id.hex(), "quantity": 1, "bed_is_clear": True})
        until("the first line", lambda: FIRST in shift.lines())
        key = _design_key(faults)
        secrets = {"plaintext": {FIRST, LAST}, "design key": spellings(key), "password": {PASSWORD.encode()}}
        temporary = list(Path(tempfile.gettempdir()).glob("printright-*"))
        # The whole town: all homes, the chain, stores, journals with their logs, release logs, outputs.
        roots = [faults.folder, *temporary]
        but = home_of_password | published | {shift.home / "password"}
        assert LAST not in shift.lines(), "in the middle of the print"
        assert traces(secrets, roots, but=but) == []
        for name in ("environ", "cmdline"):
            assert PASSWORD.encode() not in Path(f"/proc/{agent.pid}/{name}").read_bytes()
        # What the process has open has nothing of it either: no unlinked file, no memory file.
        targets = [str(link.readlink()) for link in Path(f"/proc/{agent.pid}/fd").iterdir()]
        assert not [target for target in targets if "deleted" in target or "memfd" in target], targets
        until("the end", lambda: client.get("/v1/jobs")[0]["stage"] == "finished")
        job = client.get("/v1/jobs")[0]
        labels = [PartLabel.parse(row["label"]) for row in client.get(f"/v1/jobs/{job['job']}/labels")]
        assert labels
        secrets["part code"] = {form for label in labels for form in spellings(label.code)}
        assert traces(secrets, roots, but=but) == []
        agent.end()
        assert traces(secrets, roots, but=but) == []
        # The search finds what is there.
        (shift.home / "leak").write_bytes(b"x" + labels[0].code + b"x" + key)
        assert len(traces(secrets, roots, but=but)) == 2
        (shift.home / "leak").unlink()


def _design_key(faults: Town) -> bytes:
    path = faults.owner.folder / "store" / "blobs" / faults.design.manifest.hex()[:2] / faults.design.manifest.hex()
    manifest = Manifest.from_json(path.read_bytes())
    return recover_key(manifest, [open_share(manifest, faults.owner.unsealing_key())])
