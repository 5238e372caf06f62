"""Plain moves in bounds, as one regular expression for many lines at once.

A bound becomes a pattern of digits: an integer part below the limit, whatever the fraction. Values that this cannot
say (negative ones, those between the last integer and the limit) are left to the check line by line.
"""

from __future__ import annotations

import re

from printright.units.guard.profile import GuardProfile

NUMBER = rb"-?(?:[0-9]{1,6}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})"


def digits_below(limit: int) -> str:
    """A pattern for the integers from 0 to `limit` - 1, at most one digit longer than they need."""
    last = str(limit - 1)
    ways = []
    for place, digit in enumerate(last):
        lowest = 1 if place == 0 and len(last) > 1 else 0
        if int(digit) > lowest:
            rest = "[0-9]" * (len(last) - place - 1)
            ways.append(f"{last[:place]}[{lowest}-{int(digit) - 1}]{rest}")
    # Longest first: an alternative that stops early would be stuck with it.
    ways += [last] + ([f"[0-9]{{1,{len(last) - 1}}}"] if len(last) > 1 else [])
    return f"(?:{'|'.join(ways)})"


def moves_within(profile: GuardProfile) -> re.Pattern[bytes]:
    """As many lines from a place on as are plain absolute moves inside the machine; none is a match too."""
    margin = profile.margin_mm
    width, depth, height = (int(side + margin) for side in profile.build_volume_mm)
    # Possessive throughout: a line either is a plain move or is looked at by itself, there is nothing to try again.
    feed = r"(?: F[0-9]{1,6}+(?:\.[0-9]{0,5}+)?+)?+"
    axes = "".join(
        rf"(?: {axis}(?:{digits_below(limit)}(?:\.[0-9]{{0,6}}+)?+|\.[0-9]{{1,6}}+))?+"
        for axis, limit in (("X", width), ("Y", depth), ("Z", height))
    )
    extruder = r"(?: E-?+(?:[0-9]{1,6}+(?:\.[0-9]{0,6}+)?+|\.[0-9]{1,6}+))?+"
    return re.compile(rf"(?:G[01]{feed}{axes}{extruder}{feed}\n)*+".encode())
