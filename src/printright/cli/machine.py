"""The driver that a unit's settings name. Each is imported only where it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from printright.cli.home import UnitSettings
from printright.errors import BadSettings
from printright.units.driver import Driver
from printright.units.guard import GuardProfile


def open_driver(settings: UnitSettings, home: Path) -> Driver:
    """The driver for the machine of this home, not connected yet. Raises BadSettings for a kind that there is not."""
    if settings.driver not in _KINDS:
        raise BadSettings(f"no driver {settings.driver[:40]!r}", hint=f"known: {', '.join(sorted(_KINDS))}")
    return _KINDS[settings.driver](settings, home)


def guard_profile(settings: UnitSettings) -> GuardProfile:
    """What this machine can stand, for the G-code allow-list."""
    return GuardProfile(
        build_volume_mm=settings.build_volume_mm,
        nozzle_max_c=settings.nozzle_max_c,
        bed_max_c=settings.bed_max_c,
        chamber_max_c=settings.chamber_max_c,
        tools=settings.tools,
        origin_mm=settings.origin_mm,
        margin_mm=settings.margin_mm,
    )


def _marlin(settings: UnitSettings, _home: Path) -> Driver:
    from printright.units.drivers.marlin import MarlinDriver
    from printright.units.drivers.marlin_parking import Parking
    from printright.units.guard import Guard

    at = settings.pause_at_mm
    parking = None if at is None else Parking(at, settings.pause_nozzle_c)
    if at is None and settings.pause_nozzle_c is not None:
        raise BadSettings(
            "`pause_nozzle_c` without `pause_at_mm`",
            hint="a nozzle that cools on the part sticks to it: say where to go",
        )
    return MarlinDriver(settings.port, baud=settings.baud, guard=Guard(guard_profile(settings)), parking=parking)


def _moonraker(settings: UnitSettings, home: Path) -> Driver:
    from printright.units.drivers.moonraker import MoonrakerDriver, Traces

    own = settings.moonraker
    return MoonrakerDriver(
        settings.port,
        profile=guard_profile(settings),
        macros=own.macros,
        api_key_file=home / own.api_key_file if own.api_key_file else None,
        traces=Traces(own.traces),
    )


def _octoprint(settings: UnitSettings, _home: Path) -> Driver:
    from printright.units.drivers.octoprint import OctoPrintDriver
    from printright.units.guard import Guard

    return OctoPrintDriver(settings.port, guard=Guard(guard_profile(settings)))


_KINDS: dict[str, Callable[[UnitSettings, Path], Driver]] = {
    "marlin": _marlin,
    "moonraker": _moonraker,
    "octoprint": _octoprint,
}
