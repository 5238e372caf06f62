"""A town for fault tests: ledger, store, custodian, printer and agent as processes, and a rights holder and a unit.

What a test breaks is a copy of the unit's or the owner's home, made for one attempt; what it looks at is the ledger.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from printright.cli.agent_client import AgentClient
from printright.cli.home import Home
from printright.cli.member import member_card
from printright.cli.setup import create_home
from printright.domain.license import License, Limits
from printright.domain.member import Role, UnitProfile
from printright.errors import PrintrightError
from printright.ledger.evm import EvmLedger, deploy, open_ledger
from printright.ledger.network import Network
from printright.services import licensing, members
from printright.services.audit import audit
from printright.services.publish import Design, DesignShelf, publish
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from printright.vault.committee import Custodian
from printright.vault.details import Details
from programs import program

HERE = Path(__file__).parent
FIRST, LAST = b"G1 X17.1717 Y3 F3000", b"G1 X19.1919 Y4"
GCODE = b"\n".join((FIRST, *(b"G1 X%d Y%d E0.1" % (x, x % 7) for x in range(20, 50)), LAST)) + b"\n"
PASSWORD = "canary-password-" + secrets.token_hex(8)
PHASES = "planned=start\nPOST /v1/release=release\nX17.1717=print\nreporting=finish\n"
"""What an agent's bytes show of where it is: the journalled order, the request for the key, the file's first line on
the wire, the journalled report."""


def build_shim(folder: Path) -> Path:
    path = folder / "fault_shim.so"
    subprocess.run([str(program("cc")), "-shared", "-fPIC", "-O1", "-w", "-o", path, HERE / "fault_shim.c"], check=True)
    return path


class Victims:
    """Client of fault_victim.py."""

    def __init__(self, shim: Path | None) -> None:
        environment = dict(os.environ)
        if shim is not None:
            environment["LD_PRELOAD"] = str(shim)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "fault_victim.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ready(self) -> None:
        """Wait until everything is imported."""
        self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def run(self, home: Path, *args: str, strike: dict[str, Any] | None = None, out: Path | None = None) -> Child:
        out = out or home.with_name(home.name + ".out")
        request = {"do": "run", "args": args, "home": str(home), "out": str(out), "strike": strike}
        return Child(self, self._ask(request)["pid"], out)

    def wait(self, pid: int, *, block: bool) -> int | None:
        status: int | None = self._ask({"do": "wait", "pid": pid, "block": block})["status"]
        return status

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass
class Child:
    """One command under way. `status` is its exit code, -9 for killed."""

    victims: Victims
    pid: int
    out: Path
    status: int | None = None

    def poll(self) -> int | None:
        if self.status is None:
            self.status = self.victims.wait(self.pid, block=False)
        return self.status

    def wait(self) -> int:
        until("the command's end", lambda: self.poll() is not None)
        assert self.status is not None
        return self.status

    def end(self, number: int = 15) -> int:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
        return self.wait()

    def said(self) -> str:
        return self.out.read_text() if self.out.exists() else ""


def strike(home: Path, mode: str, at: int, *, phase: str = "any", first: str = "all", next: str = "") -> dict[str, Any]:
    """Where the shim strikes; see fault_shim.c. Its trace lies beside the home, not in it."""
    return {"mode": mode, "at": at, "phase": phase, "first": first, "next": next, "trace": str(trace_of(home))}


def trace_of(home: Path) -> Path:
    return home.with_name(home.name + ".trace")


def until(what: str, found: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Poll for what another process brings about."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.01)


@dataclass
class Town:
    """Session-wide. `owner` and `unit` are master homes: tests work on copies (`copy`)."""

    folder: Path
    network: Network
    owner: Home
    unit: Home
    design: Design
    license: License
    store_url: str
    custodian_url: str
    victims: Victims
    printer: Simulator
    chain: subprocess.Popen[bytes] | None = None
    count: int = 0
    children: list[Child] = field(default_factory=list)

    # Homes ----------------------------------------------------------------------------------------------------

    def copy(self, home: Home, name: str) -> Path:
        self.count += 1
        target = self.folder / f"{name}{self.count}"
        shutil.copytree(home.folder, target, ignore=shutil.ignore_patterns("agent.sock", "chain", "*.trace"))
        return target

    def run(self, home: Path, *args: str, strike: dict[str, Any] | None = None) -> Child:
        child = self.victims.run(home, *args, strike=strike)
        self.children.append(child)
        return child

    def end_all(self) -> None:
        for child in self.children:
            child.end(9)
        self.children.clear()

    # The agent ------------------------------------------------------------------------------------------------

    def agent(self, home: Path, **options: Any) -> Child:
        """Start an agent and wait until it answers or has ended."""
        child = self.run(home, "unit", "run", "--json", **options)

        def answers() -> bool:
            if child.poll() is not None:
                return True
            try:
                AgentClient(home).get("/v1/jobs")
            except PrintrightError:
                return False
            return True

        until("the agent", answers)
        return child

    # The ledger, from the outside -------------------------------------------------------------------------------

    def look(self, question: Callable[[EvmLedger], Any]) -> Any:
        async def ask() -> Any:
            async with open_ledger(self.network) as ledger:
                return await question(ledger)

        return asyncio.run(ask())

    def block(self) -> int:
        return int(self.look(lambda ledger: ledger.block_number()))

    def counters(self, license: License | None = None) -> Any:
        return self.look(lambda ledger: ledger.call("counters", (license or self.license).id))

    def events(self, since: int, *names: str) -> list[Any]:
        """The events of these kinds after block `since`."""

        async def read(ledger: EvmLedger) -> list[Any]:
            return await ledger.events(from_block=since + 1, names=set(names))

        found: list[Any] = self.look(read)
        return found

    def audited(self) -> None:
        report = self.look(audit)
        assert report.findings == ()
        assert report.comparisons > 0

    def grant(self, reference: str, **changes: Any) -> License:
        """A license from the master owner, put on no shelf."""
        return asyncio.run(_grant(self, reference, **changes))


def new_unit(town: Town, name: str) -> Home:
    """Another unit of the same operator, enrolled; its settings are the first one's."""

    async def enrolled() -> None:
        async with town.owner.ledger(sending=True) as ledger:
            await enroll(ledger, home, town.owner.ledger_key().address)

    settings = (town.unit.folder / "printright.toml").read_text()
    home = new_home(town.folder / name, settings[settings.index("[unit]") :])
    (home.folder / "network.toml").write_text(town.network.dump())
    asyncio.run(enrolled())
    return home


async def _grant(town: Town, reference: str, **changes: Any) -> License:
    async with town.owner.ledger(sending=True) as ledger:
        book = licensing.LicenseBook(town.owner.folder / "licenses")
        license, _ = await licensing.grant(ledger, book, order(town.owner, town.design, reference, **changes))
    return license


def order(owner: Home, design: Design, reference: str, **changes: Any) -> licensing.GrantOrder:
    values: dict[str, Any] = {
        "reference": reference,
        "licensee": owner.ledger_key().address,
        "content": design.content,
        "copies": 10_000,
        "limits": Limits(int(time.time()) + 86_400),
        "title": design.title,
        "manifest": design.manifest,
        "allowance": 10_000,
    }
    return licensing.GrantOrder(**{**values, **changes})


def serve(folder: Path, *args: str, home: Path) -> subprocess.Popen[bytes]:
    """A `printright ... serve` process of its own."""
    with (folder / "servers.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "printright", *args, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PRINTRIGHT_HOME": str(home)},
        )


def said_by(process: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    """What a server says when it is ready."""
    said = b""
    assert process.stdout is not None
    while not said.endswith(b"}\n"):
        line = process.stdout.readline()
        assert line, (folder / "servers.log").read_text()
        said += line
    found: dict[str, Any] = json.loads(said)
    return found


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=30)
    if process.stdout is not None:
        process.stdout.close()


def new_home(folder: Path, extra: str = "") -> Home:
    folder.mkdir()
    (folder / "password").write_text(PASSWORD + "\n")
    return create_home(folder, password_file=folder / "password", network=None, extra=extra, work_factor=1 << 12)


@contextmanager
def town(folder: Path) -> Iterator[Town]:
    """Everything up, one design published, one license granted and on the unit's shelf; no job yet."""
    processes: list[subprocess.Popen[bytes]] = []
    printer = Simulator(FirmwareSettings(keep_transcript=True))
    victims = Victims(build_shim(folder))
    try:
        # No anchors: tests give this custodian fresh logs, with which an anchored one would not start.
        owner = new_home(folder / "owner", "[custodian]\nanchor_entries = 1000000\nanchor_s = 1e9\n")
        chain = serve(folder, "ledger", "serve", "--port", "0", "--chain-id", "31415", home=owner.folder)
        processes.append(chain)
        victims.ready()
        url = said_by(chain, folder)["url"]
        member_card(owner, "owner")
        key = owner.ledger_key()
        network = asyncio.run(deploy(url, key, key.address, name="faults", finality="single-node"))
        (owner.folder / "network.toml").write_text(network.dump())
        servers = {}
        for noun in ("store", "custodian"):
            server = victims.run(owner.folder, noun, "serve", "--port", "0", "--json", out=folder / f"{noun}.out")
            until(noun, lambda server=server: server.said().endswith("}\n"))
            servers[noun] = server
        store_url, custodian_url = (json.loads(server.said())["url"] for server in servers.values())
        with printer:
            unit = new_home(
                folder / "unit",
                # The tests count what goes over the wire: the ledger is asked for a halt only where they want it.
                f'[unit]\nport = "{printer.port}"\nclears_bed_itself = false\nhalt_check_s = 3600.0\n'
                f'[store]\nupstream = ["{store_url}"]\n'
                f'[custodians]\n"{key.address}" = "{custodian_url}"\n',
            )
            (unit.folder / "network.toml").write_text(network.dump())
            (folder / "part.gcode").write_bytes(GCODE)
            design, license = asyncio.run(_set_up(owner, unit, folder / "part.gcode"))
            found = Town(
                folder, network, owner, unit, design, license, store_url, custodian_url, victims, printer, chain
            )
            # Once through, so that the package is in the unit's store and the license on its shelf.
            agent = found.agent(unit.folder)
            AgentClient(unit.folder).post("/v1/licenses", license.to_json())
            assert agent.end() in (0, 143)
            try:
                yield found
            finally:
                found.end_all()
                for server in servers.values():
                    server.end()
    finally:
        victims.close()
        for process in reversed(processes):
            stop(process)


async def _set_up(owner: Home, unit: Home, source: Path) -> tuple[Design, License]:
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
            Details(file_name="part.gcode"),
            title="part",
            owner_key=key,
            custodians=[Custodian(key.address, sealing)],
            threshold=1,
        )
        book = licensing.LicenseBook(owner.folder / "licenses")
        license, _ = await licensing.grant(ledger, book, order(owner, design, "first"))
    return design, license


async def enroll(ledger: EvmLedger, unit: Home, operator: Any) -> None:
    profile = UnitProfile(os.urandom(32), "printer", "faults", "Marlin", "1")
    request = await members.request_enrolment(
        ledger, unit.ledger_key(), unit.unsealing_key().public_key, operator, profile, now_s=members.now_s()
    )
    await members.enroll(ledger, request)


def through(home: Path, town: Town, *, ledger: str = "", custodian: str = "", store: str = "", port: str = "") -> None:
    """Lead a copied home to its ledger, custodian, store or printer another way."""
    if ledger:
        (home / "network.toml").write_text(town.network.with_rpc([ledger]).dump())
    settings = home / "printright.toml"
    text = settings.read_text()
    for old, new in ((town.custodian_url, custodian), (town.store_url, store), (town.printer.port, port)):
        text = text.replace(old, new or old)
    settings.write_text(text)
