"""Machines: `marlin` over a serial port, and `simulator`, a printer that is not there. Imported where they are used."""
