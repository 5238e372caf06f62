"""Put an agent together from a unit's home and run it until interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing

import aiohttp

from printright.cli.home import Home, UnitSettings
from printright.cli.machine import open_driver
from printright.ledger.evm import open_ledger
from printright.units.agent import Agent
from printright.units.api import AgentApi, serve_api
from printright.units.door import DoorSettings
from printright.units.halts import Halts, HaltSettings
from printright.units.journal import JobJournal
from printright.units.keyring import DesignKeys
from printright.units.offers import Offers
from printright.units.operator import AgentSettings
from printright.units.operators import Operators
from printright.units.profiles import ProfileShelf, UnitIdentity
from printright.units.report import Reporter
from printright.units.shelf import LicenseShelf
from printright.units.tending import Keeper
from printright.vault.keys import LedgerKey, UnsealingKey
from printright.vault.store import Store


async def run_agent(home: Home, settings: UnitSettings, *, ready: Callable[[str, int | None], None]) -> None:
    """Open the journal, the ledger and the machine, in this order, and work.

    `ready` gets the unit's address and the API's port.
    """
    unit_key, unsealing_key = home.ledger_key(), home.unsealing_key()
    store = home.store()
    with closing(JobJournal(home.folder / "jobs.sqlite")) as journal:
        await _work(home, settings, unit_key, unsealing_key, store, journal, ready)


async def _work(
    home: Home,
    settings: UnitSettings,
    unit_key: LedgerKey,
    unsealing_key: UnsealingKey,
    store: Store,
    journal: JobJournal,
    ready: Callable[[str, int | None], None],
) -> None:
    async with (
        open_ledger(home.network(), signer=unit_key, journal=home.folder / "ledger-journal.sqlite") as ledger,
        aiohttp.ClientSession() as session,
    ):
        driver = open_driver(settings, home.folder)
        licenses = LicenseShelf(home.folder / "received")
        reporter = Reporter(ledger, store, unsealing_key, unit_key.address)
        keys = DesignKeys(
            ledger=ledger,
            store=store,
            custodians=home.custodian_urls(),
            unit_key=unit_key,
            unsealing_key=unsealing_key,
            identity=UnitIdentity(ledger, unit_key.address, ProfileShelf(home.folder / "profiles")),
            session=session,
        )
        agent = Agent(
            ledger=ledger,
            driver=driver,
            keys=keys,
            reporter=reporter,
            journal=journal,
            licenses=licenses,
            halts=Halts(journal, ledger, unit_key.address, HaltSettings(settings.halt_check_s, settings.ledger_away_s)),
            settings=AgentSettings(settings.clears_bed_itself, settings.nozzle_mm, _reach(settings)),
        )
        keeper = Keeper(driver, journal, agent.halts)
        try:
            await keeper.begin()
            api = AgentApi(agent, keeper, Offers(ledger, keys, licenses, agent.unit), reporter, licenses)
            socket = home.folder / settings.api_socket
            where = DoorSettings(
                socket, socket.parent != home.folder, settings.api_port, tuple(map(str.lower, settings.api_hosts))
            )
            async with serve_api(api, Operators(home.folder / "operators.toml"), where) as port:
                ready(agent.unit, port)
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(agent.run())
                    tasks.create_task(keeper.run())
                    tasks.create_task(agent.halts.watch(agent.halt, agent.cancel))
        finally:
            await driver.close()


def _reach(settings: UnitSettings) -> tuple[float, float, float]:
    (left, front), (width, depth, height) = settings.origin_mm, settings.build_volume_mm
    return left + width, front + depth, height
