"""The unit's side of a release: ask t of n custodians for their shares and combine the design key.

The first t custodians are asked at once; each of the others only when one of those refuses, fails, answers nonsense or
takes longer than `hedge_after_s`, so that a release costs t answers and no more. A custodian that cannot answer now
(not final yet, too many requests, ledger or network away) is asked again until `patience_s` is over.

A custodian may lie. The first t shares are combined; where the key is not the one that the manifest has a check value
of, each share is held against the commitments, and whoever sent a wrong one is named and not asked again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeVar

import aiohttp

from printright.domain.ids import Address, JobId
from printright.domain.license import Terms
from printright.domain.member import UnitProfile
from printright.domain.release import ShareRequest, share_info
from printright.domain.words import TypedDomain
from printright.errors import (
    BadSettings,
    BadValue,
    CustodianUnavailable,
    PackageRefused,
    PrintrightError,
    ReleaseRefused,
    TokenUnavailable,
)
from printright.ledger.port import Signer
from printright.services.share_request import (
    PATH,
    SignedRequest,
    decode_no,
    decode_share,
    encode_request,
)
from printright.vault.custody import WrongShares, recover_key
from printright.vault.custody_in_force import CustodyInForce, as_published
from printright.vault.keys import SoftwareLedgerKey, SoftwareUnsealingKey, UnsealingKey
from printright.vault.manifest import Manifest
from printright.vault.sharing import Share

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_ANSWER_BYTES = 64 * 1024

_JSON = {"Content-Type": "application/json"}
# Not final yet, too many requests, could not check, timed out on the way, a proxy without a custodian behind it.
_LATER_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class ReleaseJob:
    """Which job the key is for: the unit's running one, under `terms`. `profile` where the package asks for it."""

    domain: TypedDomain
    job: JobId
    sequence: int
    terms: Terms
    profile: UnitProfile | None = None


@dataclass(frozen=True)
class Asking:
    """How long a unit waits, seconds. `request_lifetime_s` is how long a signed request is good for."""

    hedge_after_s: float = 0.25
    attempt_timeout_s: float = 10.0
    retry_after_s: float = 0.5
    patience_s: float = 60.0
    request_lifetime_s: int = 120

    def __post_init__(self) -> None:
        if min(self.hedge_after_s, self.attempt_timeout_s, self.retry_after_s, self.patience_s) <= 0:
            raise BadSettings("a unit that asks custodians needs times of more than 0 s")


_stored = lru_cache(maxsize=16)(Manifest.to_json)


class _Kind(Enum):
    SHARE = "share"
    REFUSED = "refused"
    USELESS = "useless"
    LATER = "later"
    OURS = "our own mistake"


@dataclass(frozen=True)
class _News:
    """What came of asking one custodian. Only LATER is not its last."""

    kind: _Kind
    custodian: Address
    reason: str = ""
    share: Share | None = None
    error: PrintrightError | None = None
    after_s: float = 0.0


async def collect_design_key(
    manifest: Manifest,
    job: ReleaseJob,
    custodians: Mapping[Address, str],
    *,
    unit_key: Signer,
    unsealing_key: UnsealingKey,
    session: aiohttp.ClientSession,
    custody: CustodyInForce | None = None,
    asking: Asking | None = None,
    clock: Callable[[], float] = time.time,
) -> bytes:
    """Return the design key of `manifest`, released for `job` to the unit that owns both keys.

    `custody` is the one that the ledger names, by default the manifest's own. `custodians` maps custodians to their
    base URLs, preferred ones first; who is not of the custody's committee is left out. Raises
    ReleaseRefused as soon as so many refuse that the threshold is out of reach, with their reasons;
    CustodianUnavailable when the patience is over; BadSettings where fewer URLs are known than shares are needed.
    """
    return await _Collection(
        manifest,
        custody or as_published(manifest),
        job,
        custodians,
        unit_key,
        unsealing_key,
        session,
        asking or Asking(),
        clock,
    ).collect()


class _Collection:
    """One run of `collect_design_key`."""

    def __init__(
        self,
        manifest: Manifest,
        custody: CustodyInForce,
        job: ReleaseJob,
        custodians: Mapping[Address, str],
        unit_key: Signer,
        unsealing_key: UnsealingKey,
        session: aiohttp.ClientSession,
        asking: Asking,
        clock: Callable[[], float],
    ) -> None:
        self._manifest, self._job, self._asking, self._clock = manifest, job, asking, clock
        self._unit_key, self._unsealing_key, self._session = unit_key, unsealing_key, session
        self._keys_here = isinstance(unit_key, SoftwareLedgerKey) and isinstance(unsealing_key, SoftwareUnsealingKey)
        self._raw = _stored(manifest)
        self._custody, self._committee = custody, custody.committee
        self._indices = {each.address: i for i, each in enumerate(self._committee.custodians, start=1)}
        self._urls = {custodian: url for custodian, url in custodians.items() if custodian in self._indices}
        self._threshold = self._committee.threshold
        self._news: asyncio.Queue[_News] = asyncio.Queue()
        self._shares: dict[Address, Share] = {}
        self._notes: dict[_Kind, dict[Address, str]] = {kind: {} for kind in _Kind}
        if len(self._urls) < self._threshold:
            missing = ", ".join(sorted(set(self._indices) - set(self._urls)))
            raise BadSettings(
                f"{self._threshold} custodians are needed and the addresses of {len(self._urls)} are known",
                hint=f"set the addresses of: {missing}",
            )

    async def collect(self) -> bytes:
        # Raised outside of the task group, which would wrap it.
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[None]] = []
            outcome = await self._coordinate(group, tasks)
            for task in tasks:
                task.cancel()
        if isinstance(outcome, PrintrightError):
            raise outcome
        return outcome

    async def _coordinate(self, group: asyncio.TaskGroup, tasks: list[asyncio.Task[None]]) -> bytes | PrintrightError:
        queue = list(self._urls)
        open_asks, more = 0, self._threshold
        until = time.monotonic() + self._asking.patience_s
        while True:
            while queue and more > 0:
                tasks.append(group.create_task(self._ask(queue.pop(0))))
                open_asks, more = open_asks + 1, more - 1
            if not open_asks:
                return self._failure()
            hedge_at = time.monotonic() + self._asking.hedge_after_s
            try:
                async with asyncio.timeout(max(0.0, (min(until, hedge_at) if queue else until) - time.monotonic())):
                    news = await self._news.get()
            except TimeoutError:
                if time.monotonic() >= until:
                    return self._failure()
                more += 1
                continue
            if news.kind is _Kind.LATER:
                # Another may answer in its place; it goes on trying meanwhile.
                more += news.custodian not in self._notes[_Kind.LATER]
                self._notes[_Kind.LATER][news.custodian] = news.reason
                continue
            if news.error is not None:
                return news.error
            open_asks -= 1
            if news.share is not None:
                self._notes[_Kind.LATER].pop(news.custodian, None)
                self._shares[news.custodian] = news.share
                if len(self._shares) >= self._threshold:
                    try:
                        return recover_key(self._manifest, list(self._shares.values()), self._committee)
                    except WrongShares as error:
                        more += self._name_liars(error.indices)
                    except PackageRefused as error:
                        return error
            else:
                self._notes[_Kind.LATER].pop(news.custodian, None)
                self._notes[news.kind][news.custodian] = news.reason
                more += 1
                if len(self._notes[_Kind.REFUSED]) > len(self._indices) - self._threshold:
                    return self._failure()

    async def _ask(self, custodian: Address) -> None:
        while True:
            news = await self._attempt(custodian)
            self._news.put_nowait(news)
            if news.kind is not _Kind.LATER:
                return
            await asyncio.sleep(news.after_s)

    async def _attempt(self, custodian: Address) -> _News:
        try:
            body = await self._keyed(self._signed, custodian)
        except PrintrightError as error:
            return _News(_Kind.OURS, custodian, error=error)
        try:
            status, after_s, answer = await self._post(self._urls[custodian].rstrip("/") + PATH, body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else f"no answer ({type(error).__name__})"
            return _News(_Kind.LATER, custodian, reason, after_s=self._asking.retry_after_s)
        if answer is None:
            return _News(_Kind.USELESS, custodian, f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
        if status == 200:
            return await self._keyed(self._open, custodian, answer)
        no = decode_no(answer)
        reason = f"{no.reason} ({no.hint})" if no.hint else no.reason
        if status in _LATER_STATUS:
            return _News(_Kind.LATER, custodian, reason, after_s=after_s)
        return _News(_Kind.REFUSED if status == 403 else _Kind.USELESS, custodian, f"{reason} [{status}]")

    async def _keyed(self, work: Callable[..., T], *arguments: object) -> T:
        """Work with the unit's keys: at once in this process, in a thread where it is a token."""
        if self._keys_here:
            return work(*arguments)
        return await asyncio.to_thread(work, *arguments)

    def _signed(self, custodian: Address) -> bytes:
        request = ShareRequest(
            custodian=custodian,
            unit=self._unit_key.address,
            unit_key=self._unsealing_key.public_key,
            job=self._job.job,
            sequence=self._job.sequence,
            terms=self._job.terms,
            manifest=self._manifest.digest,
            custody=self._committee.record,
            nonce=os.urandom(32),
            expires_at_s=int(self._clock()) + self._asking.request_lifetime_s,
            profile=self._job.profile,
        )
        signature = self._unit_key.sign_digest(request.digest(self._job.domain))
        shown = self._custody.shown_to(self._indices[custodian])
        return encode_request(SignedRequest(request, signature, self._raw, shown))

    async def _post(self, url: str, body: bytes) -> tuple[int, float, bytes | None]:
        async with (
            asyncio.timeout(self._asking.attempt_timeout_s),
            self._session.post(url, data=body, headers=_JSON, allow_redirects=False) as response,
        ):
            answer = bytearray()
            while chunk := await response.content.read(MAX_ANSWER_BYTES):
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    response.close()
                    return response.status, 0.0, None
            return response.status, self._retry_after(response), bytes(answer)

    def _retry_after(self, response: aiohttp.ClientResponse) -> float:
        try:
            asked = float(response.headers.get("Retry-After", ""))
        except ValueError:
            asked = self._asking.retry_after_s
        # No custodian can keep a unit busy, or asleep; nan fails both comparisons.
        return asked if self._asking.retry_after_s <= asked <= 30 else self._asking.retry_after_s

    def _open(self, custodian: Address, answer: bytes) -> _News:
        index = self._indices[custodian]
        try:
            found = decode_share(answer)
            if found.index != index:
                raise BadValue(f"it answered with share {found.index}, it holds share {index}")
            info = share_info(self._job.job, self._manifest.digest, self._committee.record, index)
            value = self._unsealing_key.open(found.sealed, info)
            share = Share.from_bytes(value)
            if share.index != index:
                raise BadValue(f"it sealed share {share.index}, it holds share {index}")
            return _News(_Kind.SHARE, custodian, share=share)
        except TokenUnavailable as error:  # ours, not the custodian's
            return _News(_Kind.OURS, custodian, error=error)
        except PrintrightError as error:
            return _News(_Kind.USELESS, custodian, error.message)

    def _name_liars(self, indices: Sequence[int]) -> int:
        """Put wrong shares aside and say whose they are. How many there were."""
        for index in indices:
            custodian = self._committee.custodians[index - 1].address
            said = self._describe(self._shares.pop(custodian), custodian)
            log.warning("custodian %s released %s", custodian, said)
            self._notes[_Kind.USELESS][custodian] = f"it released {said}"
        return len(indices)

    def _describe(self, share: Share, custodian: Address) -> str:
        for committee in self._custody.former:
            index = committee.index_of(custodian)
            if index is not None and committee.commitments.fit(Share(index, share.value)):
                return f"an old share, of epoch {committee.epoch} instead of {self._committee.epoch}"
        return f"a wrong share: it does not fit the commitment to share {share.index}"

    def _failure(self) -> PrintrightError:
        refused = self._notes[_Kind.REFUSED]
        reasons = [
            f"{custodian}: {reason}"
            for kind in (_Kind.REFUSED, _Kind.USELESS, _Kind.LATER)
            for custodian, reason in self._notes[kind].items()
        ]
        told = "; ".join(reasons) or "no custodian answered"
        if len(refused) > len(self._indices) - self._threshold:
            return ReleaseRefused(f"{len(refused)} of {len(self._indices)} custodians refuse the key: {told}")
        return CustodianUnavailable(
            f"fewer than {self._threshold} of {len(self._indices)} custodians released their shares: {told}",
            hint="try again; the job keeps its copies",
        )
