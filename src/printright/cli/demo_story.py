"""The demo's story: publish, license, print, check; then what is refused and why; then the audit."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import segno

from printright.cli.agent_client import AgentClient
from printright.cli.demo_report import Report
from printright.cli.demo_stage import Stage
from printright.cli.design import refuse_dangerous
from printright.cli.home import Home
from printright.cli.part import scan
from printright.domain.ids import Digest
from printright.domain.license import License, Limits, unit_proof
from printright.domain.member import Role, UnitProfile
from printright.domain.part import PartLabel
from printright.errors import BadValue, PrintrightError, Refused
from printright.ledger.evm import deploy
from printright.services import licensing, members
from printright.services.audit import audit
from printright.services.check import check_out, check_part
from printright.services.publish import Design, DesignShelf, publish
from printright.vault.committee import Custodian
from printright.vault.details import Details
from printright.vault.package import fetch_manifest, open_package
from printright.vault.stores.local import LocalStore

CHAIN_ID = 424_242
TIME_SCALE = 60.0
FINALITY = "single-node"


async def tell(output: Path, example: Path, report: Report) -> None:
    """Tell the whole story. Raises only where it cannot go on; everything else is in the report."""
    async with Stage(output) as stage:
        story = _Story(stage, report, example)
        await story.set_up()
        await story.publish()
        await story.grant_and_print()
        await story.check()
        await story.refusals()
        await story.audit()


class _Story:
    def __init__(self, stage: Stage, report: Report, example: Path) -> None:
        self._stage, self._report, self._example = stage, report, example
        self._labels: list[PartLabel] = []

    # Who is there ---------------------------------------------------------------------------------------------

    async def set_up(self) -> None:
        report, stage = self._report, self._stage
        report.headline("A network of five: a registrar, a rights holder, a machine builder and two print shops")
        with report.step("embedded ledger") as step:
            served = await stage.start("ledger", "serve", "--port", "0", "--chain-id", str(CHAIN_ID))
            step.detail = served["url"]
        names = ("registrar", "rights-holder", "builder", "print-shop", "other-shop")
        with report.step("keys of the members") as step:
            homes = await asyncio.gather(*(asyncio.to_thread(stage.member, name) for name in names))
            self._registrar, self._owner, self._builder, self._shop, self._other = homes
        with report.step("contract deployed") as step:
            key = self._registrar.ledger_key()
            self._network = await deploy(served["url"], key, key.address, name="demo", finality=FINALITY)
            for home in homes:
                (home.folder / "network.toml").write_text(self._network.dump())
            step.detail = self._network.contract
        with report.step("members admitted") as step:
            roles = {
                "rights-holder": (self._owner, Role.RIGHTS_HOLDER | Role.CUSTODIAN),
                "builder": (self._builder, Role.BUILDER),
                "print-shop": (self._shop, Role.MAKER),
                "other-shop": (self._other, Role.MAKER),
            }
            async with self._registrar.ledger(sending=True) as ledger:
                for home, role in roles.values():
                    address, public = home.ledger_key().address, home.unsealing_key().public_key
                    receipt = await members.admit(ledger, address, role, public, os.urandom(32))
            step.gas = receipt.gas_used
        with report.step("the rights holder's store and custodian") as step:
            store = await stage.start("store", "serve", "--port", "0", home=self._owner.folder)
            custodian = await stage.start("custodian", "serve", "--port", "0", home=self._owner.folder)
            step.detail = f"{store['url']}, {custodian['url']}"
        with report.step("the print shop's printer, simulated: Marlin on a pseudo-terminal") as step:
            port = str(stage.folder / "printer-port")
            await stage.start("unit", "simulate", "--link", port, "--time-scale", str(TIME_SCALE))
            custodians = {custodian["custodian"]: custodian["url"]}
            self._printer = await asyncio.to_thread(
                lambda: stage.unit("printer", port=port, store=store["url"], custodians=custodians)
            )
            (self._printer.folder / "network.toml").write_text(self._network.dump())
            step.detail = port
        with report.step("printer enrolled by its operator, attested by its builder") as step:
            async with self._shop.ledger(sending=True) as ledger:
                profile = UnitProfile(os.urandom(32), "printer", "Demo One", "Marlin 2.1", "SN-1", "hall 3")
                request = await members.request_enrolment(
                    ledger,
                    self._printer.ledger_key(),
                    self._printer.unsealing_key().public_key,
                    self._shop.ledger_key().address,
                    profile,
                    now_s=members.now_s(),
                )
                signed = members.attest(request, members.typed_domain(ledger), self._builder.ledger_key())
                step.gas = (await members.enroll(ledger, signed)).gas_used
            self._unit = request.unit
            await stage.start("unit", "run", home=self._printer.folder)
            self._agent = AgentClient(self._printer.folder)

    # What is sold ---------------------------------------------------------------------------------------------

    async def publish(self) -> None:
        report = self._report
        report.headline("The rights holder publishes a part")
        self._gcode = self._stage.folder / "knob.gcode"
        with report.step("sliced by PrusaSlicer") as step:
            step.detail = await asyncio.to_thread(self._slice)
        with report.step("knob published: encrypted, stored, fixed on the ledger") as step:
            self._design, step.gas = await self._publish(self._gcode, "knob")
            step.detail = f"content {self._design.content.hex()[:16]}…"

    def _slice(self) -> str:
        slicer = shutil.which("prusa-slicer")
        if slicer is None:
            shutil.copyfile(self._example / "knob.gcode", self._gcode)
            return "prusa-slicer is not installed: the G-code that lies beside the STL"
        arguments = ["--export-gcode", "--load", str(self._example / "profile.ini")]
        arguments += ["--output", str(self._gcode), str(self._example / "knob.stl")]
        done = subprocess.run([slicer, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise PrintrightError(f"prusa-slicer failed: {done.stderr.strip()[-300:]}")
        with self._gcode.open() as file:
            return f"live, {sum(1 for _ in file):,} lines"

    async def _publish(self, source: Path, title: str) -> tuple[Design, int]:
        owner = self._owner
        async with owner.ledger(sending=True) as ledger:
            design, receipt = await publish(
                ledger,
                owner.store(),
                DesignShelf(owner.folder / "designs"),
                source,
                Details(file_name=source.name, material="PLA"),
                title=title,
                owner_key=owner.ledger_key(),
                custodians=[Custodian(owner.ledger_key().address, owner.unsealing_key().public_key)],
                threshold=1,
            )
            await ledger.wait_final(receipt)
        return design, receipt.gas_used

    async def _grant(
        self, design: Design, reference: str, copies: int, *, lifetime_s: int = 86_400, allowance: int = 1
    ) -> tuple[License, int]:
        order = licensing.GrantOrder(
            reference=reference,
            licensee=self._shop.ledger_key().address,
            content=design.content,
            copies=copies,
            limits=Limits(int(time.time()) + lifetime_s, attested_only=True),
            title=design.title,
            manifest=design.manifest,
            allowance=allowance,
            material="PLA",
        )
        async with self._owner.ledger(sending=True) as ledger:
            book = licensing.LicenseBook(self._owner.folder / "licenses")
            license, receipt = await licensing.grant(ledger, book, order)
        await asyncio.to_thread(self._agent.post, "/v1/licenses", license.to_json())
        return license, receipt.gas_used

    async def grant_and_print(self) -> None:
        report = self._report
        report.headline("The print shop makes what it has a license for")
        with report.step("license for 3 copies") as step:
            self._license, step.gas = await self._grant(self._design, "order 1", 3)
            step.detail = f"license {self._license.id.hex()[:16]}…"
        with report.step("one job, two copies, printed from memory") as step:
            view = await self._job(self._license, 2)
            if view["stage"] != "finished":
                raise PrintrightError(f"the job is {view['stage']}: {view['note']}")
            self._job_id = view["job"]
            step.gas = await self._gas_of(view["job"])
            step.detail = f"{view['outcomes'].count('good')} good; start and finish together"

    async def _job(self, license: License, quantity: int) -> dict[str, Any]:
        """Order a job from the agent, and wait until it is closed or waits for the operator."""

        def work() -> dict[str, Any]:
            order = {"license": license.id.hex(), "quantity": quantity, "customer": "ACME"}
            view: dict[str, Any] = {}
            entry = self._agent.post("/v1/jobs", order)
            for view in self._agent.lines(f"/v1/jobs/{entry['job']}/watch"):
                if view["stage"] == "waiting":
                    break
            return view

        return await asyncio.to_thread(work)

    async def _gas_of(self, job: str) -> int:
        async with self._owner.ledger() as ledger:
            started = await ledger.events(names={"JobStarted"}, unit=self._unit)
            finished = await ledger.events(names={"JobFinished"}, job=bytes.fromhex(job))
            total = 0
            for event in (started[-1], finished[-1]):
                receipt = await ledger.rpc.request("eth_getTransactionReceipt", "0x" + event.tx_hash.hex())  # type: ignore[attr-defined]
                total += int(receipt["gasUsed"], 16)
        return total

    # What the buyer sees ------------------------------------------------------------------------------------

    async def check(self) -> None:
        report = self._report
        report.headline("The buyer checks the parts, without an account")
        with report.step("QR codes made, read back by another library") as step:
            rows = await asyncio.to_thread(self._agent.get, f"/v1/jobs/{self._job_id}/labels")
            for row in rows:
                path = self._stage.folder / f"{row['serial']}.png"
                code = segno.make_qr(row["label"], error="m")
                code.save(str(path), scale=6)
                self._labels.append(PartLabel.parse(scan(path)))
                if self._labels[-1].text() != row["label"]:
                    raise BadValue(f"the QR code {path} does not read back")
            step.detail = ", ".join(row["serial"] for row in rows)
        if not report.console.quiet:
            segno.make_qr(rows[0]["label"], error="l").terminal(compact=True)
        async with self._owner.ledger() as ledger:
            for label in self._labels:
                with report.step(f"part {label.serial} is genuine") as step:
                    found = await check_part(ledger, label)
                    step.detail = f"made by {found.maker} under a license of {found.licensor}"
        async with self._shop.ledger(sending=True) as ledger:
            buyer = self._other.ledger_key().address
            with report.step("the buyer checks one part out") as step:
                step.gas = (await check_out(ledger, self._labels[0], buyer, int(time.time()))).gas_used
            with report.refusal("a second check-out of the same part: its code was cloned", "checked out before"):
                await check_out(ledger, self._labels[0], self._shop.ledger_key().address, int(time.time()))

    # What is refused ----------------------------------------------------------------------------------------

    async def refusals(self) -> None:
        self._report.headline("What is refused")
        await self._foreign_units()
        await self._licenses()
        await self._tampering()
        await self._dangerous_gcode()

    async def _foreign_units(self) -> None:
        report, stage = self._report, self._stage
        rival, stranger = await asyncio.gather(
            *(
                asyncio.to_thread(stage.unit, name, port="/dev/null", store="http://127.0.0.1:1", custodians={})
                for name in ("other-printer", "unknown-printer")
            )
        )
        async with self._other.ledger(sending=True) as ledger:
            request = await members.request_enrolment(
                ledger,
                rival.ledger_key(),
                rival.unsealing_key().public_key,
                self._other.ledger_key().address,
                UnitProfile(os.urandom(32), "printer", "Demo One", "Marlin 2.1", "SN-2"),
                now_s=members.now_s(),
            )
            await members.enroll(
                ledger, members.attest(request, members.typed_domain(ledger), self._builder.ledger_key())
            )
        with report.refusal("another shop's printer, with a copy of the license file", "operator"):
            await self._start_with(rival)
        with report.refusal("a printer that nobody enrolled", "enrolled"):
            await self._start_with(stranger)

    async def _start_with(self, home: Home) -> None:
        (home.folder / "network.toml").write_text(self._network.dump())
        async with home.ledger(sending=True) as ledger:
            terms = self._license.terms.abi()
            await ledger.send("start", "start_job", terms, 1, 1, unit_proof(self._license.units, self._unit))

    async def _licenses(self) -> None:
        report = self._report
        with report.refusal("a fourth copy: two more where one is left", "copies left"):
            _raise_if_refused(await self._job(self._license, 2))
        short, _ = await self._grant(self._design, "order 2", 1, lifetime_s=2)
        await asyncio.sleep(max(0.0, short.limits.expires_at_s + 1.5 - time.time()))
        with report.refusal("a license that has expired", "expired"):
            _raise_if_refused(await self._job(short, 1))

    async def _tampering(self) -> None:
        report = self._report
        with report.refusal("a package with one flipped bit", "not the bytes"):
            await self._open_tampered()
        genuine = self._labels[1]
        async with self._owner.ledger() as ledger:
            with report.refusal("a forged serial number on a genuine code", "forged"):
                await check_part(ledger, replace(genuine, serial="PR-0000-0000-0000-0000"))
            with report.refusal("a genuine serial number with a made-up code", "forged"):
                await check_part(ledger, replace(genuine, code=os.urandom(16)))

    async def _open_tampered(self) -> None:
        copy = self._stage.folder / "tampered-store"
        shutil.copytree(self._owner.folder / "store", copy)
        store = LocalStore(copy)
        manifest = await fetch_manifest(Digest(self._design.manifest), store)
        path = store.path(manifest.window("file").sha256)
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(1_000)
            byte = file.read(1)
            file.seek(1_000)
            file.write(bytes([byte[0] ^ 1]))
        await open_package(manifest, store)

    async def _dangerous_gcode(self) -> None:
        report = self._report
        bad = self._stage.folder / "dangerous.gcode"
        bad.write_text("G28\nM104 S200\nM500\nG1 X10\n")
        with report.refusal("dangerous G-code, when it is published", "M500"):
            refuse_dangerous(bad, bad.name)
        with report.refusal("dangerous G-code from a rights holder who does not check, at the machine", "M500"):
            # The services publish any file; it is the printer that does not trust it.
            design, _ = await self._publish(bad, "trojan")
            license, _ = await self._grant(design, "order 3", 1)
            view = await self._job(license, 1)
            await asyncio.to_thread(self._agent.post, "/v1/say", {"word": "finish", "failed": []})
            await self._until_closed(view["job"])
            raise Refused(view["note"])
        with report.step("its copy came back within the spoilage allowance") as step:
            async with self._owner.ledger() as ledger:
                counters = await ledger.call("counters", license.id)
            if (counters.available, counters.spoiled) != (1, 1):
                raise PrintrightError(f"the counters are {counters}")
            step.detail = f"available {counters.available}, spoiled {counters.spoiled}"

    async def _until_closed(self, job: str) -> None:
        def work() -> None:
            for _ in self._agent.lines(f"/v1/jobs/{job}/watch"):
                pass

        await asyncio.to_thread(work)

    # The books ------------------------------------------------------------------------------------------------

    async def audit(self) -> None:
        report = self._report
        report.headline("The auditor replays the ledger")
        with report.step("audit: every event against the contract's state") as step:
            async with self._owner.ledger() as ledger:
                found = await audit(ledger)
            if found.findings:
                raise PrintrightError(f"{len(found.findings)} findings: {found.findings[0]}")
            step.detail = (
                f"{found.jobs} jobs, {found.parts} parts, {found.licenses} licenses;"
                f" {found.comparisons} comparisons, no findings"
            )


def _raise_if_refused(view: dict[str, Any]) -> None:
    if view["stage"] == "refused":
        raise Refused(view["note"])
