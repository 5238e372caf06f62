"""Figures that we promise, each against a named peer in the same run. `python -m bench [id prefix ...]`."""
