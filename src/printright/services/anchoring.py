"""A custodian anchors its release log on the ledger: how many entries it has, and the digest of the last.

Anchors come after every so many entries, or some time after the first entry that has none. A log that does not contain
what was anchored of it (cut, rewritten, fresh, or another process's) stops the custodian: see decision 14.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from printright.domain.ids import Address
from printright.errors import BadSettings, PrintrightError
from printright.ledger.events import LogAnchored
from printright.ledger.port import Ledger
from printright.ledger.refusals import NoMoreEntries, NotCustodian
from printright.services.release_log import Head, LogDamaged, ReleaseLog

log = logging.getLogger(__name__)

_ENTRIES_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class AnchorSettings:
    """When a log is anchored: after `every_entries`, and `every_s` after an entry at the latest. Raises BadSettings."""

    every_entries: int = 100
    every_s: float = 3600.0
    retry_after_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("every_entries", "every_s", "retry_after_s"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise BadSettings(f"`{name}` is {getattr(self, name)}: an anchor needs a bound there, more than 0")


OpenSender = Callable[[], AbstractAsyncContextManager[Ledger]]
"""Opens a ledger that sends from the custodian's account, for as long as one anchor takes: the journal of an account is
one process's at a time, and the same member may have something else to send."""


class Anchoring:
    """The anchors of one log. `ledger` only reads."""

    def __init__(
        self, ledger: Ledger, sender: OpenSender, custodian: Address, releases: ReleaseLog, settings: AnchorSettings
    ) -> None:
        self._ledger, self._sender, self._custodian = ledger, sender, custodian
        self._releases, self._settings = releases, settings
        self._anchored = 0

    async def check(self) -> None:
        """Hold the log against the last anchor, before anything is released. Raises LogDamaged, LedgerUnavailable."""
        slot = await self._ledger.call("anchored", self._custodian)
        self._anchored = int(slot) & _ENTRIES_MASK
        if not self._anchored:
            return
        found = await self._ledger.events(names=["LogAnchored"], custodian=self._custodian)
        last = [event for event in found if isinstance(event, LogAnchored)][-1:]
        if not last or last[0].entries < self._anchored:
            # The node answers the one and not the other: it is not in one piece.
            raise LogDamaged("the ledger shows an anchor of this log and not its event", hint="ask another node")
        self._anchored = last[0].entries
        await asyncio.to_thread(self._releases.check_contains, Head(last[0].entries, last[0].head))

    async def run(self) -> None:
        """Anchor until cancelled. What cannot be sent is tried again; only a log that is not ours ends this."""
        while True:
            await self._releases.wait_for(self._anchored + 1)
            try:
                async with asyncio.timeout(self._settings.every_s):
                    await self._releases.wait_for(self._anchored + self._settings.every_entries)
            except TimeoutError:
                pass
            await self._anchor(self._releases.head)

    async def _anchor(self, head: Head) -> None:
        while True:
            try:
                async with self._sender() as ledger:
                    # What an earlier process sent and a reorganisation may have taken away goes first.
                    await ledger.resume()
                    key = f"anchor:{head.entries}:{head.digest.hex()}"
                    await ledger.send(key, "anchor", head.entries, head.digest)
            except NoMoreEntries:
                raise LogDamaged(
                    f"somebody anchored {head.entries} entries or more of another log in this custodian's name",
                    hint="one custodian, one key, one process: find the other one",
                ) from None
            except NotCustodian as error:
                log.warning("the release log is not anchored: %s", error)
                await asyncio.sleep(self._settings.every_s)
            except PrintrightError as error:
                log.warning("the release log could not be anchored: %s", error)
                await asyncio.sleep(self._settings.retry_after_s)
            else:
                self._anchored = head.entries
                log.info("anchored %d entries of the release log", head.entries)
                return
