"""One driver for each kind of machine, and a simulated one. Imported only where it is used."""
