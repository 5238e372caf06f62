"""One printer of the shop, through its agent's API: what the queue sees of it and asks it to do."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from printright.domain.dispatch import Attempt, OfferSeen
from printright.domain.fit import Machine, Needs
from printright.domain.ids import JobId, LicenseId, bytes32
from printright.domain.license import License
from printright.errors import CouldNotCheck, Refused

TIMEOUT_S = 60.0
_ON_BEHALF_OF = "Printright-On-Behalf-Of"
_FINAL = {"finished", "refused", "cancelled"}
_NO_WORD = 401, 403, 408, 413, 429


class PrinterAway(CouldNotCheck):
    """A printer's agent gave no usable answer: what it has is not known."""


class OrderRefused(Refused):
    """The agent said no to an order, and by its journal it never had it."""


@dataclass(frozen=True, kw_only=True)
class JobSeen:
    """A job as its agent shows it. `ended`: good and failed copies are final; `void`: nothing was spent for it."""

    job: JobId
    stage: str
    fraction: float
    note: str
    spent: bool
    good: int
    failed: int

    @property
    def ended(self) -> bool:
        return self.stage in _FINAL and self.spent

    @property
    def void(self) -> bool:
        return self.stage in _FINAL and not self.spent

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> JobSeen:
        outcomes, quantity, finished = data["outcomes"], int(data["quantity"]), data["stage"] == "finished"
        # A report that the ledger refused leaves parts without an identity: none of them is a good copy.
        good = outcomes.count("good") if finished else 0
        return cls(
            job=JobId(bytes32(str(data["job"]), "job")),
            stage=str(data["stage"]),
            fraction=float(data.get("fraction", 0.0)),
            note=str(data["note"] or data["failure"]),
            spent=data["spent"] is True,
            good=good,
            failed=quantity - good,
        )


@dataclass(frozen=True, kw_only=True)
class Look:
    """A printer's agent at one moment. `speaks_for`: it may say whom it orders for."""

    unit: str
    machine: Machine
    offers: Mapping[LicenseId, OfferSeen]
    speaks_for: bool
    shown: Mapping[str, Any]


class Printer:
    """A client of one agent. `agent` is a socket's path or `http://127.0.0.1:PORT`."""

    def __init__(self, name: str, agent: str, token: str) -> None:
        self.name = name
        self._speaks_for = False
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connector: aiohttp.BaseConnector
        if agent.startswith("http://"):
            self._base, connector = agent.rstrip("/"), aiohttp.TCPConnector()
        else:
            self._base, connector = "http://localhost", aiohttp.UnixConnector(agent)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        # Nothing in the environment may lead a token through a proxy.
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout, trust_env=False)

    async def close(self) -> None:
        await self._session.close()

    async def look(self) -> Look:
        """What the agent shows now. Raises PrinterAway."""
        status = await self._get("/v1/status")
        offers = await self._get("/v1/offers")
        try:
            self._speaks_for = bool({"delegate", "admin"} & set(status["you"]["permissions"]))
            fit = status["fit"]
            return Look(
                unit=str(status["unit"]),
                machine=Machine(**{**fit, "reach_mm": tuple(fit["reach_mm"])}),
                offers=dict(_offer(each) for each in offers),
                speaks_for=self._speaks_for,
                shown={"unit": status["unit"], "fit": fit, "loaded": status["loaded"], "job": status["job"]},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PrinterAway(f"{self.name} answers in a form that we do not know: {error}") from None

    async def ordered(self, order_key: str) -> JobSeen | None:
        """The job that was ordered under this key, or None: the agent does not know it. Raises PrinterAway."""
        status, body = await self._ask("GET", f"/v1/orders/{order_key}")
        if status == 404:
            return None
        return self._job(status, body)

    async def order(self, attempt: Attempt, license: LicenseId, *, customer: str, ordered_by: str) -> JobSeen:
        """Order an attempt: the same order however often it is sent.

        Raises OrderRefused only where the agent has said no and does not know the order; PrinterAway for anything else.
        """
        body = {
            "license": license.hex(),
            "quantity": attempt.quantity,
            "customer": customer,
            "order_key": attempt.order_key,
            "reference": f"queue {attempt.item}",
            "retry_of": attempt.retry_of.hex() if attempt.retry_of else "",
            "unattended": True,
            "must_fit": True,
        }
        headers = {_ON_BEHALF_OF: urllib.parse.quote(ordered_by)} if self._speaks_for and ordered_by else {}
        status, said = await self._ask("POST", "/v1/jobs", body, headers)
        if status < 300:
            return self._job(status, said)
        if status >= 500 or status in _NO_WORD:
            raise PrinterAway(f"{self.name} did not take the order: {_error(said)}")
        # It may have had the order before it began to say no: its journal knows.
        known = await self.ordered(attempt.order_key)
        if known is not None:
            return known
        raise OrderRefused(_error(said))

    async def cancel(self, job: JobId) -> None:
        """Stop a job if it is the one that is open. Raises PrinterAway."""
        status, body = await self._ask("POST", "/v1/cancel", {"job": job.hex()})
        if status >= 500 or status in _NO_WORD:
            raise PrinterAway(f"{self.name} does not cancel: {_error(body)}")

    async def give(self, license: License) -> None:
        """Hand a license to the agent. Raises PrinterAway, OrderRefused where it does not take it."""
        status, body = await self._ask("POST", "/v1/licenses", license.to_json())
        if status >= 400:
            raise (PrinterAway if status >= 500 or status in _NO_WORD else OrderRefused)(_error(body))

    def _job(self, status: int, body: Any) -> JobSeen:
        if status >= 300:
            raise PrinterAway(f"{self.name} does not tell: {_error(body)}")
        try:
            return JobSeen.of(body)
        except (KeyError, TypeError, ValueError) as error:
            raise PrinterAway(f"{self.name} answers in a form that we do not know: {error}") from None

    async def _get(self, path: str) -> Any:
        status, body = await self._ask("GET", path)
        if status >= 300:
            raise PrinterAway(f"{self.name} refuses: {_error(body)}")
        return body

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        try:
            async with self._session.request(method, self._base + path, json=body, headers=headers) as answer:
                return answer.status, await answer.json()
        except (aiohttp.ClientError, TimeoutError, OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise PrinterAway(f"{self.name} does not answer: {type(error).__name__}") from None


def _offer(data: Mapping[str, Any]) -> tuple[LicenseId, OfferSeen]:
    license = License.from_json(data["license"])
    run = data["parts_per_run"]
    return license.id, OfferSeen(
        available=int(data["available"]),
        note=str(data["note"]),
        parts_per_run=None if run is None else int(run),
        needs=Needs.of(license),
    )


def _error(body: Any) -> str:
    return str(body.get("error", "no reason given")) if isinstance(body, dict) else "no reason given"
