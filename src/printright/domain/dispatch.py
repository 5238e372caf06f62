"""What a shop's queue orders next, and from which machine. One pure decision over items, attempts and printers.

A job of the queue is one run of the file, so that a run that fails costs what it made and nothing else, and so that N
copies spread by themselves: whoever is ready takes the next run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from printright.domain.fit import Machine, Needs, obstacles
from printright.domain.ids import JobId, LicenseId
from printright.errors import BadValue


class ItemState(StrEnum):
    """HELD waits for the shop's word; DONE and CANCELLED are over."""

    QUEUED = "queued"
    HELD = "held"
    CANCELLED = "cancelled"
    DONE = "done"


class AttemptState(StrEnum):
    """ORDERED: written down, and the agent may have it or not. RUNNING: it has it. REFUSED: it never will.

    GIVEN_UP: the shop counts its copies as failed without knowing, since the agent is gone.
    """

    ORDERED = "ordered"
    RUNNING = "running"
    ENDED = "ended"
    REFUSED = "refused"
    GIVEN_UP = "given up"


REST_S, MOST_REST_S = 5, 600
UNSEEN = Machine(state="not seen", bed_clear=False)
OPEN = (AttemptState.ORDERED, AttemptState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Item:
    """`quantity` copies of one license. After more than `may_fail` failed copies it is held, not tried again."""

    number: int
    license: LicenseId
    quantity: int
    may_fail: int
    position: float
    state: ItemState = ItemState.QUEUED

    def __post_init__(self) -> None:
        if not 0 < self.quantity < 1 << 31 or self.may_fail < 0:
            raise BadValue("a queue's item is for 1 to 2,147,483,647 copies")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One order of a run, at one printer, for one item. `spent`: the ledger's copies are taken, or given back.

    `note` is what the agent said last, `ended_at_s` when the attempt was over, unix seconds.
    """

    number: int
    item: int
    printer: str
    quantity: int
    order_key: str
    state: AttemptState = AttemptState.ORDERED
    job: JobId | None = None
    retry_of: JobId | None = None
    good: int = 0
    failed: int = 0
    spent: bool = False
    note: str = ""
    ended_at_s: int = 0

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


@dataclass(frozen=True, kw_only=True)
class OfferSeen:
    """What a printer's agent offers of one license: copies left, and where there are none, why."""

    available: int
    note: str
    parts_per_run: int | None
    needs: Needs


@dataclass(frozen=True, kw_only=True)
class PrinterSeen:
    """A printer as its agent shows it now.

    `away`: why nothing is known of it; `aside`: why the queue gives it nothing more; each empty where that is not so.
    """

    name: str
    machine: Machine = UNSEEN
    offers: Mapping[LicenseId, OfferSeen] = field(default_factory=dict)
    aside: str = ""
    away: str = ""


@dataclass(frozen=True, kw_only=True)
class Order:
    """Order `quantity` copies for this item from this printer; `retry_of`: the failed job that it makes good."""

    item: int
    printer: str
    license: LicenseId
    quantity: int
    retry_of: JobId | None = None


@dataclass(frozen=True)
class Decision:
    """`orders` to send; items that are `done`, or `held` and why; `why_not`: for each item and printer, the reason."""

    orders: tuple[Order, ...] = ()
    done: tuple[int, ...] = ()
    held: Mapping[int, str] = field(default_factory=dict)
    why_not: Mapping[tuple[int, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tally:
    """Copies of one item: made, failed, and in open attempts."""

    good: int
    failed: int
    open: int

    @classmethod
    def of(cls, item: Item, attempts: Sequence[Attempt]) -> Tally:
        own = [each for each in attempts if each.item == item.number]
        return cls(
            sum(each.good for each in own),
            sum(each.failed for each in own),
            sum(each.quantity for each in own if each.is_open),
        )


def decide(items: Sequence[Item], attempts: Sequence[Attempt], printers: Sequence[PrinterSeen], now_s: int) -> Decision:
    """What to order now.

    1. items in their order; one that is done, or failed too often, is ordered no more
    2. a printer with an open attempt takes nothing  3. nor does one that does not fit, has no copies for it, or refused
    it a moment ago
    4. a run at a time goes to the printer on which this item failed and was tried least
    5. copies that are ordered and not spent yet are not there any more
    6. an order names a failed job that no other order names: the copies that it makes good.
    """
    busy = {each.printer for each in attempts if each.is_open}
    ordered: dict[LicenseId, int] = {}
    by_number = {item.number: item for item in items}
    for attempt in attempts:
        if attempt.is_open and not attempt.spent and attempt.item in by_number:
            license = by_number[attempt.item].license
            ordered[license] = ordered.get(license, 0) + attempt.quantity
    orders: list[Order] = []
    done: list[int] = []
    held: dict[int, str] = {}
    why_not: dict[tuple[int, str], str] = {}
    # 1
    for item in sorted(items, key=lambda each: (each.position, each.number)):
        if item.state is not ItemState.QUEUED:
            continue
        own = [each for each in attempts if each.item == item.number]
        tally = Tally.of(item, own)
        wanted = item.quantity - tally.good - tally.open
        if wanted <= 0:
            if not tally.open:
                done.append(item.number)
            continue
        if tally.failed > item.may_fail:
            held[item.number] = (
                f"{tally.failed} copies failed, and {item.may_fail} may: see why, then `printright queue resume`"
            )
            continue
        failed_jobs = _to_retry(own)
        # 4
        for printer in sorted(printers, key=lambda each: _burden(each.name, own)):
            if wanted <= 0:
                break
            # 2, 3
            rests = _rests(printer.name, own, now_s)
            reason = rests or _why_not(item, printer, busy, ordered.get(item.license, 0), wanted)
            if reason:
                why_not[item.number, printer.name] = reason
                continue
            run = printer.offers[item.license].parts_per_run
            assert run is not None
            # 6
            retry_of = failed_jobs.pop(0) if failed_jobs else None
            orders.append(
                Order(item=item.number, printer=printer.name, license=item.license, quantity=run, retry_of=retry_of)
            )
            busy.add(printer.name)
            wanted -= run
            # 5
            ordered[item.license] = ordered.get(item.license, 0) + run
    return Decision(tuple(orders), tuple(done), held, why_not)


def _why_not(item: Item, printer: PrinterSeen, busy: set[str], ordered: int, wanted: int) -> str:
    """Why this printer does not take a run of this item now; empty where it does."""
    offer = printer.offers.get(item.license)
    if printer.away:
        return printer.away
    if printer.aside:
        return f"set aside: {printer.aside}"
    if offer is None:
        return "does not have the license yet"
    if offer.parts_per_run is None:
        return "its store does not say how many parts a run makes"
    if wanted < offer.parts_per_run:
        return f"a run makes {offer.parts_per_run} parts, and only {wanted} are wanted"
    if not offer.available:
        return offer.note or "no copies left"
    found = obstacles(offer.needs, printer.machine)
    if printer.name in busy:
        found = ("has an order of this queue",)
    elif offer.available - ordered < offer.parts_per_run:
        found = (*found, f"{max(0, offer.available - ordered)} copies left that are not ordered")
    return "; ".join(found)


def _rests(name: str, own: Sequence[Attempt], now_s: int) -> str:
    """Why an item rests on a printer that refused it: each time twice as long, so that no refusal becomes a storm."""
    refused = 0
    for each in reversed([each for each in own if each.printer == name]):
        if each.state is not AttemptState.REFUSED:
            break
        refused += 1
    if not refused:
        return ""
    last = [each for each in own if each.printer == name][-1]
    wait_s = min(REST_S << min(refused - 1, 10), MOST_REST_S)
    # A clock that was set back must not make it wait for years.
    return f"refused: {last.note}" if 0 <= now_s - last.ended_at_s < wait_s else ""


def _burden(name: str, own: Sequence[Attempt]) -> tuple[int, int, str]:
    here = [each for each in own if each.printer == name and each.state is not AttemptState.REFUSED]
    return sum(each.failed for each in here), len(here), name


def _to_retry(own: Sequence[Attempt]) -> list[JobId]:
    """Failed jobs of the item that no attempt has taken up, the oldest first; one that was refused took nothing up."""
    taken = {each.retry_of for each in own if each.retry_of and each.state is not AttemptState.REFUSED}
    failed = [each.job for each in own if not each.is_open and each.failed and each.job is not None]
    return [job for job in failed if job not in taken]


def set_aside(outcomes: Sequence[Attempt], limit: int) -> bool:
    """Whether a printer whose ended attempts since it was last let back are these has failed too often in a row."""
    last = [each for each in outcomes if each.state in (AttemptState.ENDED, AttemptState.GIVEN_UP)][-limit:]
    return len(last) == limit and all(each.failed for each in last)
