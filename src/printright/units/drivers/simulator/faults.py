"""What can go wrong between a host and a printer, from a seed: the same seed makes the same faults."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

from printright.errors import BadValue

KILLS = {
    "runaway_at": b"Error:Thermal Runaway, system stopped! Heater_ID: 0\n",
    "heating_failed_at": b"Error:Heating failed, system stopped! Heater_ID: bed\n",
    "maxtemp_at": b"Error:MAXTEMP triggered, system stopped! Heater_ID: 0\n",
    "mintemp_at": b"Error:MINTEMP triggered, system stopped! Heater_ID: 0\n",
}
STRIKES = ("reset_at", "power_off_at", "unplug_at", *KILLS)
CHATTER = (
    b"echo:busy: processing\n",
    b"echo:SD card ok\n",
    b"//action:notification Printer is ready\n",
    b" T:20.00 /0.00 B:20.00 /0.00 @:0 B@:0\n",
    b"echo:; Home offset:\n",
    b"\n",
)


@dataclass(frozen=True)
class Faults:
    """Rates are probabilities for each line; `*_at` count the commands that the firmware accepted, 0 for never.

    `corrupt`, `drop`: one bit flipped, one byte lost on the way to the printer. `reply_corrupt`, `reply_drop`: the
    same for a whole answer. `doubled_ok`: an `ok` as soon as bytes come, on top of the one when they are done.
    `storm`: so many needless repetitions of each resend request. `stall`, `stall_s`: the printer says nothing for a
    while. `chatter`: a line that nobody asked for, in front of an answer.

    Once each: `reset_at`: power glitch, the port stays. `power_off_at`: the machine loses power and its port goes
    away. `unplug_at`: the cable is pulled, the machine lives on. `back_s`: after so long power or cable come back, 0
    for never.
    `runaway_at`, `heating_failed_at`, `maxtemp_at`, `mintemp_at`: the firmware's protection strikes.
    """

    corrupt: float = 0.0
    drop: float = 0.0
    reply_corrupt: float = 0.0
    reply_drop: float = 0.0
    doubled_ok: float = 0.0
    storm: int = 0
    stall: float = 0.0
    stall_s: float = 0.05
    chatter: float = 0.0
    reset_at: int = 0
    power_off_at: int = 0
    unplug_at: int = 0
    back_s: float = 0.0
    runaway_at: int = 0
    heating_failed_at: int = 0
    maxtemp_at: int = 0
    mintemp_at: int = 0

    @property
    def strike(self) -> tuple[str, int]:
        """The first of what happens once, and at which command; 0 for never."""
        strikes = [(getattr(self, name), name) for name in STRIKES if getattr(self, name)]
        at, name = min(strikes, default=(0, ""))
        return name, at

    @classmethod
    def parse(cls, text: str) -> Faults:
        """`corrupt=0.01,reset_at=500` as on a command line. Raises BadValue."""
        kinds = {
            field.name: int if field.name in ("storm",) or field.name.endswith("_at") else float
            for field in fields(cls)
        }
        values: dict[str, float] = {}
        for item in filter(None, text.split(",")):
            name, _, value = item.partition("=")
            try:
                values[name] = kinds[name](value)
            except (KeyError, ValueError):
                raise BadValue(f"no such fault: {item[:60]!r}", hint=f"name=value of {', '.join(kinds)}") from None
        return cls(**values)  # type: ignore[arg-type]


class NoisyCable:
    """Bytes to and from the printer, with faults. At most one fault a line, which a checksum is made to notice."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults = faults
        self._random = random.Random(seed)  # noqa: S311
        self._half = b""
        self.injected = 0

    def to_printer(self, data: bytes) -> bytes:
        """What arrives of what was sent; half a line waits for its other half."""
        *lines, self._half = (self._half + data).split(b"\n")
        return b"".join(self._damage(line + b"\n", self._faults.corrupt, self._faults.drop) for line in lines)

    def early_ok(self) -> bytes:
        """What the printer says before it has looked at what came."""
        if self._random.random() >= self._faults.doubled_ok:
            return b""
        self.injected += 1
        return b"ok\n"

    def to_host(self, data: bytes) -> bytes:
        """What arrives of the printer's answers, which are whole lines."""
        lines = data.split(b"\n")[:-1]
        return b"".join(self._chatter() + self._reply(line) for line in lines)

    def _chatter(self) -> bytes:
        if self._faults.chatter and self._random.random() < self._faults.chatter:
            self.injected += 1
            return self._random.choice(CHATTER)
        return b""

    def _reply(self, line: bytes) -> bytes:
        if line and self._random.random() < self._faults.reply_drop:
            self.injected += 1
            return b""
        return self._damage(line + b"\n", self._faults.reply_corrupt, 0.0)

    def _damage(self, line: bytes, corrupt: float, drop: float) -> bytes:
        chance = self._random.random()
        if chance >= corrupt + drop:
            return line
        self.injected += 1
        place = self._random.randrange(len(line))
        if chance < corrupt:
            changed = bytes((line[place] ^ 1 << self._random.randrange(7),))
            return line[:place] + changed + line[place + 1 :]
        return line[:place] + line[place + 1 :]
