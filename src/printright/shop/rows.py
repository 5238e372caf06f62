"""The queue's rows: what decisions are made of, and with it what people want to see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from printright.domain.dispatch import Attempt, AttemptState, Item, ItemState, Tally
from printright.domain.ids import JobId, LicenseId


@dataclass(frozen=True, kw_only=True)
class AttemptRow:
    """An attempt with what its agent showed of it last; `fraction` 0 to 1."""

    attempt: Attempt
    stage: str
    fraction: float
    ordered_at_s: int

    @classmethod
    def of(cls, row: Sequence[Any]) -> AttemptRow:
        number, item, printer, quantity, key, retry_of, state, job, good, failed, spent, at_s, ended, *shown = row
        stage, fraction, note = shown
        attempt = Attempt(
            number=number,
            item=item,
            printer=printer,
            quantity=quantity,
            order_key=key,
            state=AttemptState(state),
            job=JobId(job) if job else None,
            retry_of=JobId(retry_of) if retry_of else None,
            good=good,
            failed=failed,
            spent=bool(spent),
            note=note,
            ended_at_s=ended,
        )
        return cls(attempt=attempt, stage=stage, fraction=fraction, ordered_at_s=at_s)


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """An item with its attempts, and for each printer why it does not take a run of it now."""

    item: Item
    title: str
    customer: str
    added_by: str
    added_at_s: int
    note: str
    tally: Tally
    attempts: tuple[AttemptRow, ...] = ()
    why_not: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Sequence[Any], attempts: Sequence[AttemptRow], why_not: dict[str, str]) -> ItemRow:
        number, license, quantity, may_fail, customer, by, at_s, position, state, note, document = row
        item = Item(
            number=number,
            license=LicenseId(license),
            quantity=quantity,
            may_fail=may_fail,
            position=position,
            state=ItemState(state),
        )
        return cls(
            item=item,
            title=json.loads(document)["document"]["title"],
            customer=customer,
            added_by=by,
            added_at_s=at_s,
            note=note,
            tally=Tally.of(item, [each.attempt for each in attempts]),
            attempts=tuple(attempts),
            why_not=why_not,
        )


@dataclass(frozen=True)
class PrinterRow:
    """What a printer's agent showed at `seen_at_s`, unix seconds."""

    seen_at_s: int
    seen: dict[str, Any]
