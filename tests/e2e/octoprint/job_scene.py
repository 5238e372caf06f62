"""A rights holder, a ledger, a custodian and a unit whose machine is the OctoPrint of the tests."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from e2e.faults.fault_town import enroll, new_home, order, said_by, serve, stop
from e2e.octoprint.octoprint_server import OctoPrint
from printright.cli.agent_client import AgentClient
from printright.cli.home import Home
from printright.cli.member import member_card
from printright.domain.estimate import PrintEstimate
from printright.domain.license import License
from printright.domain.member import Role
from printright.ledger.evm import deploy, open_ledger
from printright.ledger.network import Network
from printright.services import licensing, members
from printright.services.audit import audit
from printright.services.publish import Design, DesignShelf, publish
from printright.vault.custody import Custodian
from printright.vault.details import Details


def picture() -> bytes:
    """A knob, as a slicer would draw it."""
    image = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((14, 66, 114, 116), fill=(196, 92, 20))
    draw.rectangle((14, 52, 114, 91), fill=(196, 92, 20))
    draw.ellipse((14, 27, 114, 77), fill=(240, 130, 40))
    draw.ellipse((44, 40, 84, 62), fill=(214, 104, 24))
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


@dataclass
class Shop:
    folder: Path
    network: Network
    owner: Home
    unit: Home
    design: Design
    process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> AgentClient:
        return AgentClient(self.unit.folder)

    def run_agent(self) -> None:
        self.process = serve(self.folder, "unit", "run", home=self.unit.folder)
        said_by(self.process, self.folder)

    def kill_agent(self) -> None:
        assert self.process is not None
        self.process.kill()
        stop(self.process)
        self.process = None

    def license(self, reference: str, **changes: Any) -> License:
        """A new license on the unit's shelf."""

        async def granted() -> License:
            async with self.owner.ledger(sending=True) as ledger:
                book = licensing.LicenseBook(self.owner.folder / "licenses")
                made, _ = await licensing.grant(ledger, book, order(self.owner, self.design, reference, **changes))
                return made

        license = asyncio.run(granted())
        self.client.post("/v1/licenses", license.to_json())
        return license

    def counters(self, license: License) -> Any:
        async def ask() -> Any:
            async with open_ledger(self.network) as ledger:
                return await ledger.call("counters", license.id)

        return asyncio.run(ask())

    def audited(self) -> None:
        async def ask() -> Any:
            async with open_ledger(self.network) as ledger:
                return await audit(ledger)

        assert asyncio.run(ask()).findings == ()


@contextmanager
def shop(folder: Path, octoprint: OctoPrint, file: bytes) -> Iterator[Shop]:
    """All of it up, with the file published and the agent running; no license yet."""
    processes: list[subprocess.Popen[bytes]] = []
    found: Shop | None = None
    try:
        owner = new_home(folder / "owner")
        processes.append(serve(folder, "ledger", "serve", "--port", "0", "--chain-id", "31415", home=owner.folder))
        url = said_by(processes[0], folder)["url"]
        member_card(owner, "owner")
        key = owner.ledger_key()
        network = asyncio.run(deploy(url, key, key.address, name="octoprint", finality="single-node"))
        (owner.folder / "network.toml").write_text(network.dump())
        for noun in ("store", "custodian"):
            processes.append(serve(folder, noun, "serve", "--port", "0", home=owner.folder))
        store, custodian = (said_by(process, folder)["url"] for process in processes[1:])
        unit = new_home(
            folder / "unit",
            f'[unit]\ndriver = "octoprint"\nport = "{octoprint.socket}"\n'
            f'[store]\nupstream = ["{store}"]\n[custodians]\n"{key.address}" = "{custodian}"\n',
        )
        (unit.folder / "network.toml").write_text(network.dump())
        (folder / "knob.gcode").write_bytes(file)
        found = Shop(folder, network, owner, unit, asyncio.run(_publish(owner, unit, folder / "knob.gcode")))
        found.run_agent()
        yield found
        found.audited()
    finally:
        if found is not None and found.process is not None:
            processes.append(found.process)
        for process in reversed(processes):
            stop(process)


async def _publish(owner: Home, unit: Home, source: Path) -> Design:
    key, sealing = owner.ledger_key(), owner.unsealing_key().public_key
    async with owner.ledger(sending=True) as ledger:
        roles = Role.RIGHTS_HOLDER | Role.MAKER | Role.CUSTODIAN
        await members.admit(ledger, key.address, roles, sealing, os.urandom(32))
        await enroll(ledger, unit, key.address)
        design, _ = await publish(
            ledger,
            owner.store(),
            DesignShelf(owner.folder / "designs"),
            source,
            Details(file_name="knob.gcode"),
            title="Drawer knob, 30 mm",
            owner_key=key,
            custodians=[Custodian(key.address, sealing)],
            threshold=1,
        )
    return design


ESTIMATE = PrintEstimate(
    material="PLA", nozzle_mm=0.4, time_s=2_520, filament_g=8.4, layer_height_mm=0.2, thumbnail_png=picture()
)


def wait_for(what: Any, timeout_s: float = 60.0) -> Any:
    deadline_s = time.monotonic() + timeout_s
    while not (value := what()):
        assert time.monotonic() < deadline_s, "it did not come to that"
        time.sleep(0.05)
    return value
