"""Plain moves in bounds, as regular expressions for many lines at once.

A bound becomes a pattern of digits: an integer part below the limit, whatever the fraction. So does the filament of a
move: between two numbers with the same hundreds, or two below a hundred, no more than the least limit can have been
fed, whichever way and in whatever order. Nothing is taken from the lines but what a pattern captured. What patterns
cannot say (values between the last integer and the limit, the step over a hundred) is left to the check line by line.
"""

from __future__ import annotations

import re
from math import floor, log10

from printright.units.guard.positions import Positions
from printright.units.guard.profile import GuardProfile

NUMBER = rb"-?(?:[0-9]{1,6}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})"

# Possessive throughout: a line either is a plain move or is looked at by itself, there is nothing to try again. With
# these many digits no line can be longer than the gate's 80 bytes.
_FEED = r"(?: F[0-9]{1,6}+(?:\.[0-9]{0,2}+)?+)?+"
_FEED_LAST = r"(?: F[0-9]{1,6}+(?:\.[0-9]{0,5}+)?+)?+"
_COMMENT = r"[ \t]*+;[^\n]*+"


def digits_below(limit: int) -> str:
    """A pattern for the integers from 0 to `limit` - 1, at most as many digits as the last of them has."""
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


def _below(limit: int, decimals: int) -> str:
    """Numbers without a sign from 0 to below `limit`; nothing at all where there is none."""
    if limit < 1:
        return "(?!)"
    return rf"(?:{digits_below(limit)}(?:\.[0-9]{{0,{decimals}}}+)?+|\.[0-9]{{1,{decimals}}}+)"


class Runs:
    """The patterns of one machine: as many lines from a place on as are plain absolute moves inside it, or comments.

    Three kinds, by how the extruder counts: by steps; from below a hundred; from above.
    """

    def __init__(self, profile: GuardProfile) -> None:
        self._axes = []
        for axis, (low, high) in zip("XYZ", profile.bounds_mm, strict=True):
            self._axes.append(rf" {axis}(?:{_below(floor(high), 4)}|-{_below(floor(-low), 4)})")
        # Numbers with the same digits but for the last `places` differ by less than 10 ** places; those with fewer,
        # of either sign, by less than twice as much.
        limit = floor(profile.extrude_max_mm)
        places = floor(log10(limit / 2)) if limit >= 2 else 0
        self._span = 10**places
        self._limit = float(limit)
        by_step = rf" E-?+{_below(limit, 5)}"
        small = rf" E-?+(?:[0-9]{{1,{places}}}+(?:\.[0-9]{{0,5}}+)?+|\.[0-9]{{1,5}}+)" if places else "(?!)"
        rest = rf"[0-9]{{{places}}}(?:\.[0-9]{{0,5}}+)?+"
        first, more = rf" E([0-9]{{1,{6 - places}}}){rest}", rf" E\1{rest}"
        self._by_step = re.compile(f"{self._lines(by_step)}*+".encode()).match
        self._low = re.compile(f"{self._lines(small)}*+".encode()).match
        self._high = re.compile(f"{self._lines('(?!)')}*+(?:{self._line(first)}{self._lines(more)}*+)?+".encode()).match

    def _line(self, extruder: str) -> str:
        x, y, z = self._axes
        # Z comes first where a spiral rises all the time.
        axes = rf"(?:{z}(?:{x})?+(?:{y})?+|(?:{x})?+(?:{y})?+(?:{z})?+)"
        return rf"G[01]{_FEED}{axes}{extruder}{_FEED_LAST}(?:{_COMMENT})?+\n"

    def _lines(self, extruder: str) -> str:
        # What nearly all lines are comes first.
        x, y, _ = self._axes
        return rf"(?:G1{x}{y}{extruder}\n|{self._line(f'(?:{extruder})?+')}|(?:{_COMMENT})?+\n)"

    def end(self, text: bytes, at: int, positions: Positions) -> int:
        """Where the run that begins at `at` ends; `at` itself where there is none. Axes must be absolute."""
        if positions.e_relative:
            match = self._by_step(text, at)
        elif -self._span <= (e := positions.e) <= self._span:
            match = self._low(text, at)
        else:
            match = self._high(text, at)
            if match is not None and match[1] is not None:
                begin = int(match[1]) * self._span
                # From where it stands to anywhere in these hundreds.
                if not begin + self._span - self._limit <= e <= begin + self._limit:
                    return at
        return at if match is None else match.end()


def without_comments(run: bytes) -> bytes:
    """The lines of a run, those empty that were only a comment."""
    first, *others = run.split(b";")
    pieces = [first.rstrip(b" \t")]
    for other in others:
        end = other.find(b"\n")
        if end >= 0:
            pieces.append(other[end:].rstrip(b" \t"))
    return b"".join(pieces)
