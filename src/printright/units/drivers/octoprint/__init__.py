"""Printers behind OctoPrint: checked lines go to our plugin there, and OctoPrint's sender sends them.

`OctoPrintDriver` is the machine, `Link` the socket to the plugin and what the plugin last said.
"""

from printright.units.drivers.octoprint.driver import OctoPrintDriver

__all__ = ["OctoPrintDriver"]
