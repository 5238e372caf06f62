"""A printer that is not there: Marlin's serial protocol over a pseudo-terminal, with faults on demand.

`python -m printright.units.drivers.simulator` and `printright unit simulate` serve one until interrupted.
"""

from printright.units.drivers.simulator.faults import Faults
from printright.units.drivers.simulator.firmware import Firmware, FirmwareSettings, transcript_digest
from printright.units.drivers.simulator.serve import serve_simulator
from printright.units.drivers.simulator.terminal import Simulator

__all__ = ["Faults", "Firmware", "FirmwareSettings", "Simulator", "serve_simulator", "transcript_digest"]
