"""One participant's folder: settings, keys, network file, store and books. Read once, at the edge.

printright.toml   settings, see `Settings`          licenses/   licenses granted by this member (its book)
network.toml      the network file                  received/   licenses that this unit may use
keys/             keystores                         designs/    designs published by this member
store/            encrypted packages, by digest     ledger-journal.sqlite, jobs.sqlite, release.log, agent.sock
operators.toml    who may use this unit's agent       queue.sqlite   what the shop's queue is to make
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click
import msgspec
from msgspec import Meta

from printright.cli.output import home_folder, read_json
from printright.domain.ids import Address
from printright.domain.words import checksum
from printright.errors import BadSettings, Misuse

if TYPE_CHECKING:
    from printright.ledger.network import Network
    from printright.ledger.port import Ledger
    from printright.vault.keys import CreatedKeys, LedgerKey, UnsealingKey
    from printright.vault.store import Store

_ADDRESS_IN = {"member/1": "address", "enrolment/1": "unit"}


class KeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where this participant's two keys are, and the password of those in files."""

    ledger: Annotated[
        str,
        Meta(description="URI of the ledger key: `pkcs11:`, or `file:`, where a relative one is meant from the home"),
    ] = "file:keys/ledger.json"
    unsealing: Annotated[str, Meta(description="URI of the key that opens what is sealed for this participant")] = (
        "file:keys/unsealing.pem"
    )
    password_file: Annotated[
        str | None, Meta(description="File with the keystores' password, from the home; without one it is asked for")
    ] = None


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where encrypted packages are kept, and where missing ones are fetched."""

    folder: Annotated[str, Meta(description="The local store, from the home")] = "store"
    upstream: Annotated[
        tuple[str, ...], Meta(description="URLs of other stores, asked in this order; what they give is checked")
    ] = ()


class MoonrakerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Klipper machine behind Moonraker. Only with `driver = "moonraker"`, whose `port` is Moonraker's URL."""

    api_key_file: Annotated[
        str | None, Meta(description="File with Moonraker's API key, from the home; trusted clients need none")
    ] = None
    macros: Annotated[
        tuple[str, ...], Meta(description="Macros of printer.cfg that a print file may call, in capitals")
    ] = ()
    traces: Annotated[
        Literal["none", "moves-in-klippy-log"],
        Meta(
            description="What Klipper may keep of a file: `none` prints only on a Klipper without a log;"
            " `moves-in-klippy-log` accepts that it logs the last moves when it shuts down on a fault"
        ),
    ] = "none"


class UnitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine: its port, what it can stand, and whether it clears its bed itself. Only in a unit's home."""

    port: Annotated[
        str,
        Meta(
            description="Where the machine answers. For Marlin a path, best `/dev/serial/by-id/...`; for Moonraker its "
            "URL; for OctoPrint the socket of its Printright plugin"
        ),
    ]
    driver: Annotated[str, Meta(description="How to speak to the machine: `marlin`, `moonraker`, `octoprint`")] = (
        "marlin"
    )
    baud: Annotated[int, Meta(description="Speed of the serial port, baud")] = 115_200
    build_volume_mm: Annotated[
        tuple[float, float, float], Meta(description="How far the head may go in x, y and z, mm")
    ] = (250.0, 210.0, 210.0)
    origin_mm: Annotated[
        tuple[float, float],
        Meta(description="Where that begins in x and y, mm; `[-100, -100]` where 0 is the center of a 200 mm bed"),
    ] = (0.0, 0.0)
    margin_mm: Annotated[
        float, Meta(description="How far the head may go beyond that at the sides and the top, mm")
    ] = 5.0
    tools: Annotated[int, Meta(description="How many extruders a file may choose from")] = 1
    nozzle_max_c: Annotated[float, Meta(description="Hottest nozzle that a file may ask for, °C")] = 290.0
    bed_max_c: Annotated[float, Meta(description="Hottest bed that a file may ask for, °C")] = 110.0
    chamber_max_c: Annotated[float, Meta(description="Hottest chamber that a file may ask for, °C; 0: not heated")] = (
        0.0
    )
    pause_at_mm: Annotated[
        tuple[float, float] | None,
        Meta(description="Where the head waits in a pause, x and y, mm; without it, it stays where it is (Marlin)"),
    ] = None
    pause_nozzle_c: Annotated[
        float | None, Meta(description="The nozzle's target in a pause, °C; without it, it stays hot (Marlin)")
    ] = None
    halt_check_s: Annotated[
        float, Meta(description="How often the ledger is asked whether this unit is halted, s", ge=0.05)
    ] = 1.0
    ledger_away_s: Annotated[
        float, Meta(description="After so long without an answer from the ledger a print is canceled, s; 0: it goes on")
    ] = 0.0
    nozzle_mm: Annotated[float | None, Meta(description="Diameter of the nozzle, mm; a queue wants to know it")] = None
    clears_bed_itself: Annotated[
        bool,
        Meta(description="The machine ejects finished parts: a bed is clear after a good run without anybody's word"),
    ] = False
    api_socket: Annotated[
        str,
        Meta(description="The agent's Unix socket, from the home; one elsewhere is open to other accounts"),
    ] = "agent.sock"
    api_port: Annotated[
        int | None,
        Meta(description="TCP port on loopback for operators with tokens; 0 takes a free one"),
    ] = None
    api_hosts: Annotated[
        tuple[str, ...], Meta(description="Names under which a proxy in front reaches that port, without port numbers")
    ] = ()
    moonraker: Annotated[MoonrakerSettings, Meta(description="The Klipper machine")] = MoonrakerSettings()


class CustodianSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where this member's custodian listens."""

    host: Annotated[str, Meta(description="Address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(description="TCP port; 0 takes a free one")] = 8700
    former_keys: Annotated[
        tuple[str, ...],
        Meta(description="URIs of former unsealing keys, for designs whose shares are still sealed to them"),
    ] = ()
    anchor_entries: Annotated[int, Meta(description="Anchor the release log on the ledger every so many entries")] = 100
    anchor_s: Annotated[float, Meta(description="Anchor it so long after an entry at the latest, seconds")] = 3600.0
    log_readers: Annotated[
        tuple[str, ...],
        Meta(description="Accounts that may read the release log over HTTP, like `printright audit`"),
    ] = ()


class QueuePrinterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One printer of the queue, under a name of yours."""

    agent: Annotated[
        str,
        Meta(
            description="Where its agent is: its unit's home or its socket, from the home, or `http://127.0.0.1:PORT`"
        ),
    ]
    token_file: Annotated[
        str | None,
        Meta(description="File with the queue's token for it; a socket of this account needs none"),
    ] = None


class QueueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shop's queue and its printers. Only where `printright queue` is used."""

    printers: Annotated[
        dict[str, QueuePrinterSettings],
        Meta(description="The printers, each under a name of yours"),
    ] = {}
    poll_s: Annotated[float, Meta(gt=0, description="How often each printer is looked at, s")] = 1.0
    failures_to_set_aside: Annotated[
        int,
        Meta(ge=1, description="After so many failed runs in a row a printer is set aside"),
    ] = 2


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`printright.toml`. Every setting has a default but the unit's port; unknown settings refuse to start."""

    network: Annotated[str, Meta(description="The network file, from the home")] = "network.toml"
    rpc: Annotated[
        tuple[str, ...], Meta(description="JSON-RPC gateways to use instead of those that the network file names")
    ] = ()
    keys: Annotated[KeySettings, Meta(description="Keys and their password")] = KeySettings()
    store: Annotated[StoreSettings, Meta(description="Store of packages")] = StoreSettings()
    custodians: Annotated[
        dict[str, str], Meta(description="Where custodians answer, by their addresses; a unit asks them in this order")
    ] = {}
    custodian: Annotated[CustodianSettings, Meta(description="This member's own custodian")] = CustodianSettings()
    queue: Annotated[QueueSettings, Meta(description="A shop's queue and its printers")] = QueueSettings()
    unit: Annotated[UnitSettings | None, Meta(description="The machine, in a unit's home")] = None


def ask_pin() -> str:
    """The PIN of a token whose URI names no source of it."""
    return str(click.prompt("PIN of the token", hide_input=True, err=True))


class Home:
    """The folder of one participant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.created: CreatedKeys | None = None
        self._password: str | None = None
        self._ledger_key: LedgerKey | None = None
        self._unsealing_key: UnsealingKey | None = None

    @classmethod
    def current(cls) -> Home:
        """The home that --home or PRINTRIGHT_HOME names. Raises Misuse where there is none."""
        home = cls(home_folder())
        if not home.settings_path.exists():
            raise Misuse(
                f"{home.folder} is no participant's folder",
                hint="make one with `printright member create` or `printright unit create`, or set --home",
            )
        return home

    @property
    def settings_path(self) -> Path:
        return self.folder / "printright.toml"

    def settings(self) -> Settings:
        """Read and check the settings. Raises BadSettings."""
        try:
            data = tomllib.loads(self.settings_path.read_text())
            return msgspec.convert(data, Settings)
        except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise BadSettings(f"{self.settings_path}: {error}") from None

    def network(self) -> Network:
        from printright.ledger.network import Network

        settings = self.settings()
        path = self.folder / settings.network
        if not path.exists():
            raise BadSettings(
                f"there is no network file {path}", hint="copy the one that `printright ledger deploy` wrote"
            )
        network = Network.load(path)
        return network.with_rpc(settings.rpc) if settings.rpc else network

    def password(self) -> str:
        """The keystores' password: PRINTRIGHT_PASSWORD_FILE, the settings' file, or the prompt, which asks once."""
        if self._password is None:
            self._password = self._ask_password()
        return self._password

    def _ask_password(self) -> str:
        settings = self.settings().keys
        named = os.environ.get("PRINTRIGHT_PASSWORD_FILE")
        path = Path(named) if named else self.folder / settings.password_file if settings.password_file else None
        if path is None:
            return str(click.prompt("Password of the keystore", hide_input=True, err=True))
        try:
            return path.read_text().rstrip("\n")
        except OSError as error:
            raise BadSettings(f"the password file cannot be read: {error}") from None

    def _secret(self, uri: str) -> Callable[[], str]:
        return ask_pin if uri.startswith("pkcs11:") else self.password

    def public_halves(self) -> tuple[Address, bytes]:
        """The account and the public unsealing key; no password is needed where this process just made them."""
        if self.created is not None:
            return self.created.address, self.created.public_key
        return self.ledger_key().address, self.unsealing_key().public_key

    def ledger_key(self) -> LedgerKey:
        from printright.vault.keys import open_ledger_key

        # Opening a keystore takes a second on purpose: once is enough.
        if self._ledger_key is None:
            uri = self._uri(self.settings().keys.ledger)
            self._ledger_key = open_ledger_key(uri, self._secret(uri))
        return self._ledger_key

    def unsealing_key(self) -> UnsealingKey:
        from printright.vault.keys import open_unsealing_key

        if self._unsealing_key is None:
            uri = self._uri(self.settings().keys.unsealing)
            self._unsealing_key = open_unsealing_key(uri, self._secret(uri))
        return self._unsealing_key

    def former_keys(self) -> list[UnsealingKey]:
        """The custodian's former unsealing keys, under the same password or PIN."""
        from printright.vault.keys import open_unsealing_key

        uris = [self._uri(uri) for uri in self.settings().custodian.former_keys]
        return [open_unsealing_key(uri, self._secret(uri)) for uri in uris]

    def store(self) -> Store:
        """The local store, backed by the upstream ones."""
        from printright.vault.stores.http import HttpStore
        from printright.vault.stores.layered import LayeredStore
        from printright.vault.stores.local import LocalStore

        settings = self.settings().store
        local = LocalStore(self.folder / settings.folder)
        if not settings.upstream:
            return local
        return LayeredStore(local, [HttpStore(url, local) for url in settings.upstream])

    def custodian_urls(self) -> dict[Address, str]:
        return {checksum(address): url for address, url in self.settings().custodians.items()}

    @asynccontextmanager
    async def ledger(self, *, sending: bool = False) -> AsyncIterator[Ledger]:
        """The ledger, with this participant's key and journal where it is to send."""
        from printright.ledger.evm import open_ledger

        signer = self.ledger_key() if sending else None
        journal = self.folder / "ledger-journal.sqlite" if sending else None
        async with open_ledger(self.network(), signer=signer, journal=journal) as ledger:
            yield ledger

    def _uri(self, uri: str) -> str:
        # A relative file: URI is meant from the home's folder.
        path = uri.removeprefix("file:")
        return uri if path == uri else (self.folder.resolve() / path).as_uri()


@asynccontextmanager
async def reading_ledger(network: Path | None) -> AsyncIterator[Ledger]:
    """The ledger for somebody who only reads: by a network file alone, or else by the home's."""
    if network is None:
        async with Home.current().ledger() as ledger:
            yield ledger
        return
    from printright.ledger.evm import open_ledger
    from printright.ledger.network import Network

    async with open_ledger(Network.load(network), signer=None, journal=None) as ledger:
        yield ledger


network_option = click.option(
    "--network",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A network file: with it no home is needed.",
)


def parse_address(text: str) -> Address:
    """An address as given on the command line: itself, or the file that bears it (member.json, enrolment.json).

    Raises BadValue, Misuse for a file that is neither.
    """
    path = Path(text)
    if path.suffix != ".json":
        return checksum(text)
    card = read_json(path)
    kind = card.get("printright") if isinstance(card, dict) else None
    if kind not in _ADDRESS_IN:
        raise Misuse(f"{path} is neither a member's card nor a unit's enrolment request")
    return checksum(str(card.get(_ADDRESS_IN[kind])))
