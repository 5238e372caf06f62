"""Whatever goes wrong with cable, power and printer: a print that counts as completed was executed line by line."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e" / "units"))

from machine_scene import IMPATIENT, PROFILE, chunks, commands_of, part

from printright.errors import MachineUnavailable
from printright.units.driver import PrintEnd, PrintOutcome
from printright.units.drivers.marlin import MarlinDriver
from printright.units.drivers.marlin_orders import HEATERS_OFF
from printright.units.drivers.simulator import Faults, FirmwareSettings, Simulator
from printright.units.drivers.simulator.faults import STRIKES
from printright.units.guard import Guard

FILE = part(20)
COMMANDS = commands_of(FILE)
RATE = st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.03])


@st.composite
def troubles(draw: st.DrawFn) -> Faults:
    """A bad cable, and with it every second time something that happens once, anywhere in the print or after it."""
    noise = ("corrupt", "drop", "reply_corrupt", "reply_drop", "doubled_ok", "stall", "chatter")
    rates = {name: draw(RATE) for name in noise}
    once = {draw(st.sampled_from(STRIKES)): draw(st.integers(1, len(COMMANDS)))} if draw(st.booleans()) else {}
    back_s = draw(st.sampled_from([0.0, 0.02]))
    return Faults(**rates, storm=draw(st.sampled_from([0, 0, 4])), stall_s=0.02, back_s=back_s, **once)  # type: ignore[arg-type]


@pytest.mark.parametrize("examples", [15, pytest.param(1000, marks=pytest.mark.load)])
def test_a_print_is_executed_once_and_in_order_or_has_failed(examples: int) -> None:
    settings(
        max_examples=examples,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )(one_print)()


@given(troubles(), st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.booleans())
def one_print(faults: Faults, seed: int, numbered_ok: bool, emergency_parser: bool, ok_after_resend: bool) -> None:
    # Red without: the look at `_position_seen` in `MarlinSender._at_barrier`; the count of nonsense in `_resend`;
    # the line for `start` in `marlin_reply.fatal`. A failure is shown with its seed.
    built = FirmwareSettings(
        numbered_ok=numbered_ok,
        emergency_parser=emergency_parser,
        ok_after_resend=ok_after_resend,
        keep_transcript=True,
    )
    with Simulator(built, faults, seed=seed) as simulator:
        outcome = asyncio.run(printed(simulator))
        done = [line for line in simulator.firmware.transcript if line not in (b"M108", b"M112")]
    if outcome is None:
        assert not done
    elif outcome.completed:
        assert (outcome.end, outcome.reason) == (PrintEnd.COMPLETED, "")
        assert done == COMMANDS
    else:
        assert outcome.reason
        # What was executed is a beginning of the file; after that, at most the orders to cool down.
        if outcome.end in (PrintEnd.SILENT, PrintEnd.LOST):
            while done and done[-1] in HEATERS_OFF and done != COMMANDS[: len(done)]:
                done.pop()
        assert done == COMMANDS[: len(done)]


async def printed(simulator: Simulator) -> PrintOutcome | None:
    driver = MarlinDriver(simulator.port, guard=Guard(PROFILE), patience=IMPATIENT, connect_timeout_s=3.0)
    try:
        return await driver.print(chunks(FILE, 700))
    except MachineUnavailable:
        # It did not come as far as the first line.
        return None
    finally:
        await driver.close()
