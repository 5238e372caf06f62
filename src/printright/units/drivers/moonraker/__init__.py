"""Printers that run Klipper, through Moonraker.

`MoonrakerDriver` is the machine, `Traces` what its owner accepts that Klipper keeps of a file.
"""

from printright.units.drivers.moonraker.driver import MoonrakerDriver
from printright.units.drivers.moonraker.traces import Traces

__all__ = ["MoonrakerDriver", "Traces"]
