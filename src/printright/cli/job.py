"""printright job: list, start, status, pause, resume, continue, finish, cancel, history, close."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from printright.cli.agent_client import AgentClient
from printright.cli.output import noun, result, table, verb, wants_json
from printright.errors import BadValue, Refused

app = noun("Print licensed copies on a unit, from its operator's side.")


@verb(app, "list")
def list_offers() -> None:
    """The jobs that this unit may print: every license, with the copies left for it."""
    offers = AgentClient.current().get("/v1/offers")
    rows = [
        {
            "license": offer["license"]["id"],
            "title": offer["license"]["document"]["title"],
            "copies": offer["available"],
            "material": offer["license"]["document"]["material"],
            "printed": offer["printed"],
            "estimate": offer["license"]["document"].get("estimate", {}),
            "expires": time.strftime("%Y-%m-%d", time.gmtime(offer["license"]["expires_at_s"])),
            "note": offer["note"],
        }
        for offer in offers
    ]
    columns = ("license", "title", "copies", "material", "printed", "expires", "note")
    result(rows, table(rows, *columns, empty="no licenses here yet"))


@verb(app)
@click.argument("license")
@click.option("--quantity", default=1, show_default=True, help="How many copies.")
@click.option("--customer", default="", help="Goes into the parts' serial numbers.")
@click.option("--inspect", is_flag=True, help="Wait for your verdict on the parts before the job is finished.")
@click.option("--bed-is-clear", is_flag=True, help="Your word that nothing lies on the bed: the first run starts.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Stay and show the progress.")
def start(license: str, quantity: int, customer: str, inspect: bool, bed_is_clear: bool, wait: bool) -> None:
    """Spend copies of LICENSE (its id, a unique beginning of it, or its title) and print them.

    On a bed that is not known to be clear the job waits, and nothing is spent, until `printright unit bed-clear`.
    """
    client = AgentClient.current()
    order = {
        "license": license if len(license) == 64 else _complete(client, license),
        "quantity": quantity,
        "customer": customer,
        "inspect": inspect,
        "bed_is_clear": bed_is_clear,
    }
    entry = client.post("/v1/jobs", order)
    if not wait:
        waits = f" and waits: {entry['note']}" if entry["note"] else ""
        result(entry, f"job {entry['job']} is ordered{waits}; see `printright job status`")
        return
    _watch(client, entry["job"])


def _complete(client: AgentClient, beginning: str) -> str:
    licenses = [offer["license"] for offer in client.get("/v1/offers")]
    matches = [each["id"] for each in licenses if each["document"]["title"] == beginning]
    matches = matches or [each["id"] for each in licenses if each["id"].startswith(beginning.lower())]
    if len(matches) != 1:
        raise BadValue(
            f"{len(matches)} licenses are called {beginning!r}, or begin so", hint="see `printright job list`"
        )
    return str(matches[0])


@verb(app)
@click.argument("job", default="current")
@click.option("--watch", is_flag=True, help="Stay and show the progress.")
def status(job: str, watch: bool) -> None:
    """The open job, or one by its id."""
    client = AgentClient.current()
    if watch:
        _watch(client, job)
        return
    view = client.get(f"/v1/jobs/{job}")
    result(view, _describe(view))


def _watch(client: AgentClient, job: str) -> None:
    view: dict[str, Any] = {}
    if wants_json():
        for view in client.lines(f"/v1/jobs/{job}/watch"):
            if view["stage"] == "waiting":
                break
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
            task = progress.add_task("starting", total=1.0)
            for view in client.lines(f"/v1/jobs/{job}/watch"):
                progress.update(task, completed=view["fraction"], description=f"{view['title']}: {view['stage']}")
                if view["stage"] == "waiting":
                    break
    result(view, _describe(view))
    if view["stage"] == "refused":
        raise Refused(f"the ledger refused the job: {view['note']}")


def _describe(view: dict[str, Any]) -> str:
    good, failed = view["outcomes"].count("good"), view["outcomes"].count("failed")
    lines = [f"job {view['job']}: {view['title']}, {view['quantity']} copies, {view['stage']} ({view['fraction']:.0%})"]
    if good or failed:
        lines += [f"{good} good, {failed} failed"]
    if view["operator"]:
        for_what = f" for {view['reference']}" if view["reference"] else ""
        lines += [f"ordered by {view['operator']}{for_what}"]
    if view["failure"] and view["failure"] not in view["note"]:
        lines += [view["failure"]]
    if view["note"]:
        lines += [view["note"]]
    if view["stage"] == "finished" and good:
        lines += [f"labels: printright part labels {view['job']}"]
    return "\n".join(lines)


def _post(path: str, body: dict[str, Any], text: str) -> None:
    AgentClient.current().post(path, body)
    result({"done": path}, text)


@verb(app)
def pause() -> None:
    """Pause the running job after the line that is on its way."""
    _post("/v1/pause", {}, "paused")


@verb(app)
def resume() -> None:
    """Go on with a paused job."""
    _post("/v1/resume", {}, "resumed")


@verb(app)
def cancel() -> None:
    """Stop the open job. Copies not made count as failed; within the spoilage allowance they return."""
    _post("/v1/cancel", {}, "cancelled")


@verb(app, "continue")
def continue_() -> None:
    """Tell a waiting job that the bed is clear: its next run starts."""
    _post("/v1/say", {"word": "continue"}, "the next run starts")


@verb(app)
@click.option("--failed", default="", help="Numbers of the copies that are not good, from 0, with commas.")
def finish(failed: str) -> None:
    """Tell a waiting job to finish: copies never begun count as failed, and so do those named."""
    try:
        indexes = [int(index) for index in failed.split(",") if index.strip()]
    except ValueError:
        raise BadValue(f"--failed {failed!r} is not a list of numbers") from None
    _post("/v1/say", {"word": "finish", "failed": indexes}, "the job is being finished")


@verb(app)
def history() -> None:
    """All jobs of this unit, the newest first."""
    rows = AgentClient.current().get("/v1/jobs")
    result(rows, table(rows, "job", "operator", "quantity", "stage", "outcomes", "note", empty="no jobs yet"))


@verb(app)
@click.argument("license", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--unit", required=True, help="The unit: its address or its enrolment.json.")
@click.option("--sequence", required=True, type=int, help="The unit's number of that job, see `ledger jobs`.")
@click.option("--credit", "credited", default=0, show_default=True, help="Copies to give back; the others are lost.")
async def close(license: Path, unit: str, sequence: int, credited: int) -> None:
    """End a job that was given up, or not finished by its deadline. For the licensor."""
    from printright.cli.home import Home, parse_address
    from printright.cli.output import read_json
    from printright.domain.license import License
    from printright.services import licensing

    async with Home.current().ledger(sending=True) as ledger:
        receipt = await licensing.close_job(
            ledger, License.from_json(read_json(license)), parse_address(unit), sequence, credited
        )
        await ledger.wait_final(receipt)
    data = {"tx": receipt.tx_hash, "gas": receipt.gas_used, "credited": credited}
    result(data, f"closed; {credited} copies credited")
