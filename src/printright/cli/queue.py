"""printright queue: add, run, list, show, printers, move, cancel, resume, give-up, restore."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from printright.cli.home import Home, QueuePrinterSettings
from printright.cli.output import noun, read_json, result, table, verb
from printright.errors import BadSettings, BadValue

if TYPE_CHECKING:
    from printright.domain.license import License
    from printright.shop.book import QueueBook
    from printright.shop.printer import Printer
    from printright.shop.rows import ItemRow, PrinterRow

app = noun("Print N of these, on whichever of the shop's machines they fit.")
_BAR = 20


@contextmanager
def _book() -> Iterator[QueueBook]:
    from printright.shop.book import QueueBook

    book = QueueBook(Home.current().folder / "queue.sqlite")
    try:
        yield book
    finally:
        book.close()


@verb(app)
@click.argument("license")
@click.option("--quantity", required=True, type=int, help="How many copies, in whole runs of the file.")
@click.option("--customer", default="", help="Goes into the parts' serial numbers.")
@click.option(
    "--may-fail", type=int, help="So many failed copies are tried again.  [default: the license's spoilage allowance]"
)
def add(license: str, quantity: int, customer: str, may_fail: int | None) -> None:
    """Put QUANTITY copies of LICENSE into the queue: its file, or the id or title of one that it has had before."""
    from printright.units.operators import account_name

    with _book() as book:
        found = _license(book, license)
        allowed = found.allowance if may_fail is None else may_fail
        number = book.add(
            found,
            quantity,
            may_fail=allowed,
            customer=customer,
            added_by=account_name(os.getuid()),
            now_s=int(time.time()),
        )
    data = {"item": number, "license": found.id, "quantity": quantity, "may_fail": allowed}
    result(data, f"item {number}: {quantity} copies of {found.document.title}")


def _license(book: QueueBook, name: str) -> License:
    from printright.domain.license import License

    if Path(name).is_file():
        return License.from_json(read_json(Path(name)))
    known = book.licenses()
    found = [each for each in known if each.document.title == name]
    found = found or [each for each in known if len(name) >= 6 and each.id.hex().startswith(name.lower())]
    if len(found) != 1:
        raise BadValue(
            f"{len(found)} licenses of this queue are called {name!r}", hint="name the license's file the first time"
        )
    return found[0]


@verb(app)
async def run() -> None:
    """Drive the printers until interrupted. What was ordered goes on where it was, however this ended before."""
    from printright.shop.foreman import Foreman, ForemanSettings

    home = Home.current()
    settings = home.settings().queue
    if not settings.printers:
        raise BadSettings(f"{home.settings_path} has no printers", hint="add [queue.printers.NAME] with `agent`")
    with _book() as book, book.driving():
        async with AsyncExitStack() as stack:
            printers = []
            for name, each in settings.printers.items():
                printers.append(_printer(home, name, each))
                stack.push_async_callback(printers[-1].close)
            result({"printers": list(settings.printers)}, f"the queue drives {', '.join(settings.printers)}")
            limits = ForemanSettings(settings.poll_s, settings.failures_to_set_aside)
            await Foreman(book, printers, limits).run()


def _printer(home: Home, name: str, settings: QueuePrinterSettings) -> Printer:
    from printright.cli.agent_client import read_token, socket_of
    from printright.shop.printer import Printer

    agent = settings.agent
    if not agent.startswith("http://"):
        path = home.folder / agent
        agent = (socket_of(path) or str(path / "agent.sock")) if path.is_dir() else str(path)
    token = read_token(home.folder / settings.token_file) if settings.token_file else ""
    return Printer(name, agent, token)


@verb(app, "list")
@click.option("--all", "over", is_flag=True, help="Also what is done or cancelled.")
def list_items(over: bool) -> None:
    """What is to be made, in its order, with what is made, runs and failed."""
    with _book() as book:
        rows = [_item(row) for row in book.items(over=over)]
    columns = ("item", "title", "quantity", "progress", "good", "running", "failed", "state", "where", "note")
    result(rows, table(rows, *columns, empty="nothing in the queue"))


def _item(row: ItemRow) -> dict[str, Any]:
    open_now = [each for each in row.attempts if each.attempt.is_open]
    made = row.tally.good + sum(each.fraction * each.attempt.quantity for each in open_now)
    fraction = min(1.0, made / row.item.quantity)
    waits = [f"{each.attempt.printer}: {each.attempt.note}" for each in open_now if each.attempt.note]
    reasons = [] if open_now or row.item.state != "queued" else [f"{name}: {why}" for name, why in row.why_not.items()]
    return {
        "item": row.item.number,
        "title": row.title,
        "license": row.item.license,
        "quantity": row.item.quantity,
        "fraction": round(fraction, 4),
        "progress": "█" * round(fraction * _BAR) + "░" * (_BAR - round(fraction * _BAR)) + f" {fraction:4.0%}",
        "good": row.tally.good,
        "running": row.tally.open,
        "failed": row.tally.failed,
        "may_fail": row.item.may_fail,
        "state": str(row.item.state),
        "where": ", ".join(f"{each.attempt.printer} {each.fraction:.0%}" for each in open_now),
        "customer": row.customer,
        "added_by": row.added_by,
        "note": "; ".join(filter(None, (row.note, *waits, *reasons))),
    }


@verb(app)
@click.argument("item", type=int)
def show(item: int) -> None:
    """One ITEM: each of its jobs, which job it tried again, and why a printer does not take a run of it now."""
    with _book() as book:
        row = book.item(item)
    jobs = [
        {
            "printer": each.attempt.printer,
            "job": (each.attempt.job or b"").hex(),
            "retry_of": (each.attempt.retry_of or b"").hex(),
            "copies": each.attempt.quantity,
            "state": str(each.attempt.state),
            "stage": each.stage,
            "progress": f"{each.fraction:.0%}",
            "good": each.attempt.good,
            "failed": each.attempt.failed,
            "ordered": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(each.ordered_at_s)),
            "note": each.attempt.note,
        }
        for each in row.attempts
    ]

    def draw() -> None:
        seen = _item(row)
        click.echo(f"item {item}: {row.title}, {row.item.quantity} copies, {row.item.state}, by {row.added_by}")
        click.echo(f"{seen['progress']}  {seen['good']} good, {seen['running']} running, {seen['failed']} failed")
        if row.note:
            click.echo(row.note)
        short = [{**job, "job": str(job["job"])[:12], "retry_of": str(job["retry_of"])[:12]} for job in jobs]
        columns = ("printer", "job", "retry of", "copies", "state", "stage", "progress", "good", "failed", "note")
        table(short, *columns, empty="nothing ordered yet")()
        for name, reason in row.why_not.items():
            click.echo(f"not on {name} now: {reason}")

    result({**_item(row), "jobs": jobs, "why_not": row.why_not}, draw)


@verb(app)
def printers() -> None:
    """The printers: what each does, its bed, nozzle and material, and why it gets nothing."""
    home = Home.current()
    with _book() as book:
        seen = book.printers()
    rows = [_shown(name, seen.get(name)) for name in home.settings().queue.printers]
    result(rows, table(rows, "printer", "state", "bed", "nozzle", "loaded", "job", "note", "seen", empty="no printers"))


def _shown(name: str, row: PrinterRow | None) -> dict[str, Any]:
    shown = row.seen if row else {}
    fit, job, loaded = (shown.get(each) or {} for each in ("fit", "job", "loaded"))
    return {
        "printer": name,
        "state": fit.get("state", "away"),
        "bed": ("clear" if fit["bed_clear"] else "not clear") if fit else "",
        "nozzle": f"{fit['nozzle_mm']:g} mm" if fit.get("nozzle_mm") else "",
        "loaded": f"{loaded.get('material', '')} {loaded.get('color', '')}".strip(),
        "job": f"{job['title']} {job['fraction']:.0%} {job['stage']}" if job else "",
        "note": "; ".join(filter(None, (shown.get("aside"), shown.get("away"), job.get("note")))),
        "seen": f"{max(0, int(time.time()) - row.seen_at_s)} s ago" if row and row.seen_at_s else "never",
    }


@verb(app)
@click.argument("item", type=int)
@click.option("--before", type=int, help="Put it before this item.  [default: to the end]")
def move(item: int, before: int | None) -> None:
    """Change ITEM's place in the order."""
    with _book() as book:
        book.move(item, before=before)
    result({"item": item, "before": before}, f"item {item} is {'at the end' if before is None else f'before {before}'}")


@verb(app)
@click.argument("item", type=int)
def cancel(item: int) -> None:
    """Order nothing more of ITEM, and stop what runs of it: those copies count as failed."""
    with _book() as book:
        book.cancel(item)
    result({"item": item}, f"item {item} is cancelled; the daemon stops what runs of it")


@verb(app)
@click.argument("item", type=int)
def resume(item: int) -> None:
    """Go on with ITEM, which is held because too many copies failed: as many may fail again."""
    with _book() as book:
        book.resume(item)
    result({"item": item}, f"item {item} goes on")


@verb(app, "give-up")
@click.argument("item", type=int)
@click.argument("printer")
def give_up(item: int, printer: str) -> None:
    """Count what PRINTER was given of ITEM as failed, though it does not answer: the copies are made elsewhere.

    If it comes back and had made them, the item has more good copies than were asked for.
    """
    with _book() as book:
        book.give_up(item, printer, int(time.time()))
    result({"item": item, "printer": printer}, f"what {printer} had of item {item} counts as failed")


@verb(app)
@click.argument("printer")
def restore(printer: str) -> None:
    """Let PRINTER back in, which was set aside because runs failed on it."""
    if printer not in Home.current().settings().queue.printers:
        raise BadValue(f"no printer {printer!r} in this queue", hint="see `printright queue printers`")
    with _book() as book:
        book.restore(printer)
    result({"printer": printer}, f"{printer} gets orders again")
