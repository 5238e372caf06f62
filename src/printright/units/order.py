"""An order: what an operator, or a queue on an operator's behalf, asks a unit to make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from printright.domain.ids import JobId, LicenseId, bytes32
from printright.errors import BadValue, Misuse
from printright.units.journal import JobEntry

_LIMITS = {"operator": 130, "customer": 200, "order_key": 64, "reference": 200}
_FIELDS = {"license", "quantity", "customer", "inspect", "bed_is_clear", "order_key", "reference", "retry_of"}
_FIELDS |= {"unattended", "must_fit"}


@dataclass(frozen=True)
class Order:
    """`quantity` copies of `license`; `inspect`: the operator says which are good before the job is finished.

    `bed_is_clear`: the operator's word, with the order. `must_fit`: refuse it where nozzle, material or size do not
    fit, or are not known. An `order_key` makes it one order however often it is sent.
    `operator`, `reference`, `retry_of` and `unattended` go into the job, see `JobEntry`.
    """

    license: LicenseId
    quantity: int
    operator: str = ""
    customer: str = ""
    inspect: bool = False
    bed_is_clear: bool = False
    order_key: str = ""
    reference: str = ""
    retry_of: JobId | None = None
    unattended: bool = False
    must_fit: bool = False

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            text = getattr(self, name)
            if len(text) > limit or not text.isprintable():
                raise BadValue(f"an order's {name} has up to {limit} printable characters")
        if self.inspect and self.unattended:
            raise BadValue("an order that nobody attends cannot be inspected")

    @classmethod
    def from_json(cls, body: dict[str, Any], operator: str) -> Order:
        """An order as the API takes it. Raises BadValue, also for a field that we do not know."""
        unknown = sorted(set(body) - _FIELDS)
        if unknown:
            raise BadValue(f"an order has no {unknown[0][:40]!r}", hint=f"it has {', '.join(sorted(_FIELDS))}")
        try:
            license_id = LicenseId(bytes32(str(body["license"]), "license"))
            retry_of = JobId(bytes32(str(body["retry_of"]), "retry_of")) if body.get("retry_of") else None
            quantity = int(body["quantity"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadValue(f"an order names license and quantity: {error}") from None
        return cls(
            license_id,
            quantity,
            operator=operator,
            customer=str(body.get("customer") or ""),
            inspect=body.get("inspect") is True,
            bed_is_clear=body.get("bed_is_clear") is True,
            order_key=str(body.get("order_key") or ""),
            reference=str(body.get("reference") or ""),
            retry_of=retry_of,
            unattended=body.get("unattended") is True,
            must_fit=body.get("must_fit") is True,
        )

    def same_as(self, entry: JobEntry) -> None:
        """Whether the job that was begun under this order's key is this order. Raises Misuse where it is not."""
        asked = (self.license, self.quantity, self.operator, self.reference, self.retry_of or b"")
        if asked != (entry.license, entry.quantity, entry.operator, entry.reference, entry.retry_of):
            raise Misuse("this order key was used for another order", hint="take a new key for a new order")
