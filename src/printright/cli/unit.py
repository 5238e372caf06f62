"""printright unit: create, show, request, attest, enroll, retire, list, run, simulate, status, halt, bed-clear ..."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from printright.cli.home import Home, parse_address
from printright.cli.output import home_folder, noun, read_json, result, table, verb
from printright.cli.setup import create_home, key_options
from printright.cli.unit_operator import operators
from printright.errors import BadSettings

app = noun("Create, enroll, attest and run the agent of a machine.")


@verb(app)
@click.option("--port", required=True, help="Serial port of the machine or of `unit simulate`, or URL of its host.")
@click.option("--driver", default="marlin", show_default=True, help="How to speak to it: marlin, moonraker, octoprint.")
@click.option("--baud", default=115_200, show_default=True)
@click.option("--clears-bed-itself", is_flag=True, help="The machine ejects parts: no confirmation between runs.")
@click.option("--upstream", multiple=True, help="URL of a store to fetch packages from.")
@click.option(
    "--custodian",
    "custodians",
    multiple=True,
    metavar="WHO=URL",
    help="Where a custodian answers; WHO: address or card.",
)
@key_options
@click.option("--network", type=click.Path(exists=True, path_type=Path), help="A network file to copy into the home.")
def create(
    port: str,
    driver: str,
    baud: int,
    clears_bed_itself: bool,
    upstream: tuple[str, ...],
    custodians: tuple[str, ...],
    network: Path | None,
    **keys: Any,
) -> None:
    """Create a unit's folder with its two keys, beside the machine."""
    lines = ["[unit]", f"driver = {json.dumps(driver)}", f"port = {json.dumps(port)}", f"baud = {baud}"]
    lines += [f"clears_bed_itself = {json.dumps(clears_bed_itself)}"]
    lines += ["[store]", f"upstream = {json.dumps(list(upstream))}"]
    lines += ["[custodians]"]
    for item in custodians:
        address, _, url = item.partition("=")
        lines += [f"{json.dumps(parse_address(address))} = {json.dumps(url)}"]
    home = create_home(home_folder(), network=network, extra="\n".join(lines), **keys)
    address, _ = home.public_halves()
    result({"unit": address, "home": str(home.folder)}, f"unit {address} in {home.folder}")


@verb(app)
def show() -> None:
    """This unit's address and public unsealing key."""
    home = Home.current()
    address, key = home.public_halves()
    result({"unit": address, "key": key}, f"unit {address}\nunsealing key {key.hex()}")


@verb(app)
@click.option("--operator", required=True, help="The maker that operates the unit: its address or its card.")
@click.option("--model", required=True)
@click.option("--firmware", required=True)
@click.option("--serial-number", required=True)
@click.option("--kind", default="printer", show_default=True)
@click.option("--place", default="", help="Where it stands.")
@click.option("--out", type=click.Path(path_type=Path), help="The request's file.  [default: HOME/enrolment.json]")
async def request(
    operator: str, model: str, firmware: str, serial_number: str, kind: str, place: str, out: Path | None
) -> None:
    """Make this unit's request for enrolment, signed by the unit itself."""
    from printright.domain.member import UnitProfile
    from printright.services import members
    from printright.units.profiles import ProfileShelf

    home = Home.current()
    profile = UnitProfile(os.urandom(32), kind, model, firmware, serial_number, place)
    ProfileShelf(home.folder / "profiles").add(profile)
    async with home.ledger() as ledger:
        made = await members.request_enrolment(
            ledger,
            home.ledger_key(),
            home.unsealing_key().public_key,
            parse_address(operator),
            profile,
            now_s=members.now_s(),
        )
    path = out or home.folder / "enrolment.json"
    path.write_text(json.dumps(made.to_json(), indent=1) + "\n")
    result({"request": str(path), "unit": made.unit}, f"the request is {path}; the operator enrolls the unit with it")


@verb(app)
@click.argument("request", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def attest(request: Path) -> None:
    """Add the builder's signed statement to a unit's request: it has these keys, model, firmware and serial number."""
    from printright.domain.member import EnrolmentRequest
    from printright.domain.words import TypedDomain
    from printright.services import members

    home = Home.current()
    network = home.network()
    made = members.attest(
        EnrolmentRequest.from_json(read_json(request)),
        TypedDomain(network.chain_id, network.contract),
        home.ledger_key(),
    )
    request.write_text(json.dumps(made.to_json(), indent=1) + "\n")
    about = made.profile
    stated = {"unit": made.unit, "key": made.key, "model": about.model, "firmware": about.firmware}
    stated["serial_number"] = about.serial_number
    result(
        {"request": str(request), "builder": made.builder, "stated": stated},
        f"{request} now bears the statement of {made.builder}:\n"
        f"{about.model}, serial number {about.serial_number}, firmware {about.firmware}, "
        f"has the keys of unit {made.unit}",
    )


@verb(app)
@click.argument("request", type=click.Path(exists=True, dir_okay=False, path_type=Path))
async def enroll(request: Path) -> None:
    """Enroll the unit whose request this is. For its operator, a maker."""
    from printright.domain.member import EnrolmentRequest
    from printright.services import members

    made = EnrolmentRequest.from_json(read_json(request))
    async with Home.current().ledger(sending=True) as ledger:
        receipt = await ledger.wait_final(await members.enroll(ledger, made))
    attested = "attested" if made.builder else "not attested"
    result(
        {"unit": made.unit, "attested": made.builder is not None, "tx": receipt.tx_hash, "gas": receipt.gas_used},
        f"unit {made.unit} is enrolled, {attested}",
    )


@verb(app)
@click.argument("address")
async def retire(address: str) -> None:
    """End a unit's enrolment. For its operator, its builder or the registrar."""
    from printright.services import members

    unit = parse_address(address)
    async with Home.current().ledger(sending=True) as ledger:
        receipt = await ledger.wait_final(await members.retire(ledger, unit))
    result({"unit": unit, "tx": receipt.tx_hash, "gas": receipt.gas_used}, f"unit {unit} is retired")


@verb(app, "list")
async def list_units() -> None:
    """All units that were ever enrolled."""
    from printright.services.history import read_history

    async with Home.current().ledger() as ledger:
        history = await read_history(ledger)
    rows = [
        {
            "unit": address,
            "operator": unit.operator,
            "builder": unit.builder or "",
            "active": "retired" if not unit.active else "halted" if unit.halted else "yes",
            "jobs": unit.last_sequence,
        }
        for address, unit in history.units.items()
    ]
    result(rows, table(rows, "unit", "operator", "builder", "active", "jobs", empty="no units yet"))


@verb(app)
async def run() -> None:
    """Run the agent beside the machine until interrupted; `printright job` talks to it."""
    from printright.cli.agent_process import run_agent

    home = Home.current()
    settings = home.settings()
    if settings.unit is None:
        raise BadSettings(f"{home.settings_path} has no [unit]", hint="a unit's folder is made by `unit create`")

    def ready(unit: str, port: int | None) -> None:
        where = "" if port is None else f", for operators with tokens at http://127.0.0.1:{port}"
        result({"unit": unit, "api_port": port}, f"the agent of unit {unit} is ready{where}")

    await run_agent(home, settings.unit, ready=ready)


@verb(app)
@click.option("--link", type=click.Path(path_type=Path), help="Make this name a link to the pseudo-terminal.")
@click.option("--time-scale", default=1.0, show_default=True, help="How much faster than real the machine is.")
@click.option("--seed", default=0, show_default=True, help="Seed of its faults and noise.")
async def simulate(link: Path | None, time_scale: float, seed: int) -> None:
    """Run a simulated printer that speaks the Marlin protocol on a pseudo-terminal, until interrupted."""
    from printright.units.drivers.simulator import serve_simulator

    await serve_simulator(
        link=link,
        time_scale=time_scale,
        seed=seed,
        ready=lambda port: result({"port": port}, f"a simulated printer is at {link or port}"),
    )


@verb(app)
def status() -> None:
    """What the machine and its open job are doing."""
    from printright.cli.agent_client import AgentClient

    data = AgentClient.current().get("/v1/status")
    machine, job, bed, loaded = data["machine"], data["job"], data["bed"], data["loaded"]
    lines = [f"unit {data['unit']}: {machine['state']}"]
    if machine["trouble"]:
        lines += [machine["trouble"]]
    if machine["halts_at_once"] is False:
        lines += ["its firmware obeys an emergency stop only after the command under way: keep to the button"]
    if data["halted"]["reason"]:
        lines += [f"HALTED: {data['halted']['reason']}; look at the machine, reset it, then `printright unit reset`"]
    if data["halted"]["on_ledger"]:
        lines += ["halted on the ledger: its operator ends that with `printright unit clear`"]
    for heater in ("nozzle", "bed"):
        lines += [f"{heater} {machine[f'{heater}_c']:.0f} of {machine[f'{heater}_target_c']:.0f} °C"]
    said = f" by the word of {bed['by']}" if bed["by"] else ""
    lines += [f"the bed is {'clear' if bed['clear'] else 'not known to be clear'}{said}"]
    lines += [f"loaded: {' '.join(filter(None, (loaded['material'], loaded['color']))) or 'nobody said what'}"]
    if job:
        lines += [f"job {job['job']}: {job['title']}, {job['stage']}, {job['fraction']:.0%} {job['note']}"]
    else:
        lines += ["no open job"]
    result(data, "\n".join(lines))


def _say(verb_name: str, text: str, body: dict[str, Any] | None = None) -> None:
    from printright.cli.agent_client import AgentClient

    AgentClient.current().post(f"/v1/{verb_name}", body or {})
    result({"done": verb_name}, text)


@verb(app)
@click.option("--from-ledger", "address", metavar="UNIT", help="Order it on the ledger, for a unit that is elsewhere.")
async def halt(address: str | None) -> None:
    """Emergency: stop the machine at once, heaters off.

    Beside the machine it goes to the agent and needs no ledger. With --from-ledger, the unit's operator or the
    registrar orders it from anywhere: the unit's agent sees it within a block.
    """
    if address is None:
        _say("halt", "the machine is halted; its job counts the copies not made as failed")
        return
    from printright.services import members

    unit = parse_address(address)
    async with Home.current().ledger(sending=True) as ledger:
        receipt = await members.halt(ledger, unit)
    result(
        {"unit": unit, "tx": receipt.tx_hash, "gas": receipt.gas_used, "block": receipt.block_number},
        f"unit {unit} is halted on the ledger since block {receipt.block_number}; its agent stops the machine when it"
        " sees that",
    )


@verb(app)
@click.argument("address")
async def clear(address: str) -> None:
    """End a halt that was ordered on the ledger. For the unit's operator, after a look at the machine."""
    from printright.services import members

    unit = parse_address(address)
    async with Home.current().ledger(sending=True) as ledger:
        receipt = await ledger.wait_final(await members.clear(ledger, unit))
    result(
        {"unit": unit, "tx": receipt.tx_hash, "gas": receipt.gas_used},
        f"unit {unit} is cleared; `printright unit reset` beside the machine lets it work again",
    )


@verb(app)
def reset() -> None:
    """Let the machine work again after a halt: somebody has looked at it and reset it."""
    _say("reset", "the machine answers and takes jobs again")


@verb(app, "bed-clear")
def bed_clear() -> None:
    """Say that the bed is clear. A job that waits for just that goes on; otherwise the next order begins at once."""
    _say("bed", "the bed is clear", {"clear": True})


@verb(app)
@click.option("--material", required=True, help="As on licenses: PLA, PETG ...")
@click.option("--color", default="", help="For people.")
def load(material: str, color: str) -> None:
    """Say which material is in the machine now. A queue gives it what fits."""
    _say("load", f"loaded: {material} {color}".rstrip(), {"material": material, "color": color})


@verb(app)
def unload() -> None:
    """Say that no material is in the machine."""
    _say("load", "nothing is loaded", {})


@verb(app, "log")
def show_log() -> None:
    """What the operators did at this unit, the newest first: who continued, cancelled, cleared the bed ..."""
    from printright.cli.agent_client import AgentClient

    acts = AgentClient.current().get("/v1/acts")
    rows = [{**act, "when": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(act["at_s"]))} for act in acts]
    result(acts, table(rows, "when", "operator", "what", "job", empty="nothing yet"))


app.add_command(operators, "operator")
