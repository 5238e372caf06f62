"""The gate that every line of a print file passes: what is not on the machine's allow-list is refused.

A line becomes one normalized command (no comment, single spaces, as it was written otherwise) or nothing. What passes
is printable ASCII, has upper-case letters only outside of a display text, one command, no letter twice, plain decimal
numbers in bounds, no line number and no checksum. A refusal names the line's number, the command word and the rule,
never the rest: the file is somebody's secret.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from printright.errors import GcodeRefused
from printright.units.guard.allow_list import CommandRule, ParameterRule, allow_list
from printright.units.guard.moves import NUMBER, Runs, without_comments
from printright.units.guard.positions import OutOfBounds, Positions
from printright.units.guard.profile import GuardProfile

MAX_COMMAND_BYTES = 80
"""Marlin's buffer has 96, of which line number and checksum need up to 14."""

MAX_COMMENT_BYTES = 1 << 20
MAX_FINDINGS = 20
MAX_KNOWN = 256
"""Lines that move nothing and passed once, as fan speeds and accelerations: they pass again."""

_FEED = rb"(?: F[0-9]{1,6}(?:\.[0-9]{0,6})?)?"
_MOVE = re.compile(
    rb"G[01]%b(?: X(%b))?(?: Y(%b))?(?: Z(%b))?(?: E(%b))?%b" % (_FEED, NUMBER, NUMBER, NUMBER, NUMBER, _FEED)
).fullmatch
_WORD = re.compile(rb"[A-Z](?:0|[1-9][0-9]{0,3})").fullmatch
_NAME = re.compile(rb"\s*([A-Za-z@%!/$N][0-9]{0,4})?")
_INTEGER = re.compile(rb"-?[0-9]{1,7}").fullmatch
_FLOAT = re.compile(rb"-?(?:[0-9]{1,6}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})").fullmatch
_TEXT = re.compile(rb"[A-Za-z0-9 .,:%/+_-]{0,60}").fullmatch
_NOTE = re.compile(rb"[A-Za-z0-9 .,:%/+_!?()='\"-]{0,80}").fullmatch
# Marlin looks for M110 and M29 anywhere in a line, and for G when it is stopped; some builds take small letters too.
_SMUGGLED = re.compile(rb"[GMNT][0-9]|(?<![A-Za-z0-9])[gmnt][0-9]").search
_FOREIGN = re.compile(rb"[^\x20-\x7e\t]").search


@dataclass(frozen=True)
class Finding:
    """A line that would be refused, by its number, its command word and the rule."""

    line: int
    word: str
    rule: str


@dataclass(frozen=True)
class GuardReport:
    """What a whole file holds, for its publisher: lines, commands by word, what would be refused (the first 20).

    `reach_mm` is how far the head goes in x, y and z, at the ends of its moves.
    """

    lines: int
    commands: dict[str, int]
    findings: tuple[Finding, ...]
    filament_mm: float
    reach_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def ok(self) -> bool:
        return not self.findings


class Broken(Exception):
    """A rule that a line breaks; becomes GcodeRefused with the line's number."""


class Guard:
    """The allow-list of one machine and the state of one file. One file at a time: `start` begins the next.

    Not shared between threads.
    """

    max_command_bytes = MAX_COMMAND_BYTES
    max_line_bytes = 2 * MAX_COMMAND_BYTES

    def __init__(self, profile: GuardProfile) -> None:
        self.profile = profile
        self._rules = allow_list(profile)
        self._runs = Runs(profile)
        self._known: dict[bytes, bytes | None] = {}
        self.start()

    def start(self) -> None:
        """Forget the last file: positions, modes, line count and half a line."""
        self.positions = self._new_positions()
        self.lines = 0
        self._rest = b""
        self._skipped = 0
        self._known.clear()

    def _new_positions(self) -> Positions:
        return Positions(self.profile)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The commands in the lines that this chunk completes. Raises GcodeRefused at the first line refused.

        A line that is not complete waits for the next chunk, without its comment; one that never ends is refused.
        Runs of plain moves are checked all at once, which is what nearly all of a file is.
        """
        text = self.whole_lines(chunk)
        commands: list[bytes] = []
        positions, known, at, end = self.positions, self._known, 0, len(text)
        while at < end:
            if positions.in_runs:
                after = self._runs.end(text, at, positions)
                if after > at:
                    run = text[at:after]
                    self.lines += run.count(b"\n")
                    at = after
                    moves = without_comments(run) if b";" in run else run
                    positions.run(moves)
                    commands += filter(None, moves.split(b"\n"))
                    if at == end:
                        break
            after = text.index(b"\n", at)
            line = text[at:after]
            at = after + 1
            if line in known:
                self.lines += 1
                command = known[line]
            else:
                command = self.check(line)
            if command is not None:
                commands.append(command)
        return commands

    def whole_lines(self, chunk: bytes) -> bytes:
        """The text of the lines that this chunk completes, not checked. Raises GcodeRefused for a line without end."""
        text = self._rest + chunk
        end = text.rfind(b"\n") + 1
        rest = text[end:]
        if end:
            self._skipped = 0
        if len(rest) > self.max_line_bytes:
            rest = self._shorten(rest)
        self._rest = rest
        return text[:end]

    def finish(self) -> list[bytes]:
        """The command of a last line without a newline. Raises GcodeRefused."""
        rest, self._rest = self._rest, b""
        command = self.check(rest) if rest else None
        return [] if command is None else [command]

    def _shorten(self, rest: bytes) -> bytes:
        semicolon = rest.find(b";")
        if semicolon < 0:
            raise self._refusal(self.lines + 1, rest, "a line has no end")
        self._skipped += len(rest) - semicolon - 1
        if self._skipped > MAX_COMMENT_BYTES:
            raise self._refusal(self.lines + 1, rest, "a comment has no end")
        return rest[: semicolon + 1]

    def check(self, line: bytes) -> bytes | None:
        """The normalized command of one line without its newline, or None where there is nothing to send.

        1. a plain move in bounds passes at once  2. no comment, no blanks around  3. printable ASCII, not too long
        4. one known command word  5. each parameter once and in its bounds  6. the move stays inside.
        Raises GcodeRefused.
        """
        self.lines += 1
        # 1
        match = _MOVE(line)
        try:
            if match is not None and len(line) <= self.max_command_bytes:
                x, y, z, e = match.groups()
                self.positions.line(
                    None if x is None else float(x),
                    None if y is None else float(y),
                    None if z is None else float(z),
                    None if e is None else float(e),
                )
                return line
            return self._check_fully(line)
        except (Broken, OutOfBounds) as broken:
            raise self._refusal(self.lines, line, str(broken)) from None

    def _check_fully(self, raw: bytes) -> bytes | None:
        # 2
        line = raw.removesuffix(b"\r").partition(b";")[0].strip(b" \t")
        if not line:
            return None
        # 3
        if _FOREIGN(line):
            raise Broken("a byte that is not printable ASCII")
        word, *tokens = line.split()
        too_long = sum(map(len, tokens)) + len(tokens) + len(word) > self.max_command_bytes
        # 4
        rule = self._rules.get(word)
        if rule is None:
            other = self._other_word(word, tokens)
            if other is None or not too_long:
                return other
        if rule is None or too_long:
            raise Broken(f"a command longer than {self.max_command_bytes} bytes")
        if rule.text or rule.note or (rule.names and tokens and tokens[0][:1] == rule.names.encode()):
            text = b" ".join(tokens)
            if not _NOTE(text) or _SMUGGLED(text):
                raise Broken("a text with characters or words that are not allowed")
            # A display can do without what it may not be told; the part is the same.
            return b" ".join((word, *tokens)) if rule.text and _TEXT(text) else None
        # 5
        if rule.absent and _switches_off_absent(rule, tokens):
            return None
        values, tokens = self._parameters(rule, tokens)
        quoted = rule.only_with and not any(values.keys() >= set(letters) for letters in rule.only_with)
        command = None if rule.drop or quoted else b" ".join((word, *tokens))
        # 6
        if rule.position:
            self._move(word, rule.position, values)
        elif len(raw) <= MAX_COMMAND_BYTES and len(self._known) < MAX_KNOWN:
            self._known[raw] = command
        return command

    def _other_word(self, word: bytes, tokens: list[bytes]) -> bytes | None:  # noqa: ARG002
        """What is sent for a word that is not on the list. Raises Broken."""
        if not _WORD(word):
            raise Broken("not a command word in capitals without leading zeros, followed by a blank")
        raise Broken("the command is not on the allow-list")

    @staticmethod
    def _parameters(rule: CommandRule, tokens: list[bytes]) -> tuple[dict[str, float], list[bytes]]:
        """The values by letter, and the tokens as they are sent: without a plus sign."""
        values: dict[str, float] = {}
        sent = []
        for token in tokens:
            if token[1:2] == b"+" and token[2:3] not in (b"+", b"-"):
                token = token[:1] + token[2:]
            letter = chr(token[0])
            parameter = rule.parameters.get(letter)
            if parameter is None:
                raise Broken("a parameter that the command may not have")
            if letter in values:
                raise Broken(f"parameter {letter} twice")
            values[letter] = parameter_value(letter, parameter, token[1:])
            sent.append(token)
        if rule.require and not any(letter in values for letter in rule.require):
            raise Broken(f"the command needs parameter {' or '.join(rule.require)}")
        return values, sent

    def _move(self, word: bytes, position: str, values: dict[str, float]) -> None:
        match position:
            case "line":
                self.positions.line(values.get("X"), values.get("Y"), values.get("Z"), values.get("E"))
            case "arc":
                self.positions.arc(word == b"G2", values)
            case "set":
                self.positions.e = values["E"]
            case "home":
                self.positions.forget("".join(axis for axis in "XYZ" if axis in values) or "XYZ")
            case "unknown":
                self.positions.forget("XYZ")
            case _:
                self.positions.mode(position)

    def _name(self, line: bytes) -> str:
        """The command word as a refusal may name it."""
        match = _NAME.match(line)
        return match[1].decode() if match and match[1] else "?"

    def _refusal(self, number: int, line: bytes, rule: str) -> GcodeRefused:
        return GcodeRefused(
            f"line {number}: {self._name(line)}: {rule}",
            hint="the machine got nothing of this line; the file's publisher can see all findings with a check",
        )

    def check_file(self, source: Path | Iterable[bytes]) -> GuardReport:
        """Check a whole file (a path, or its chunks) for its publisher; goes on after a refusal. Raises OSError."""
        self.start()
        findings: list[Finding] = []
        commands: Counter[str] = Counter()
        x_most = y_most = z_most = 0.0
        for line in _lines(source):
            if len(findings) == MAX_FINDINGS:
                break
            try:
                command = self.check(line)
            except GcodeRefused as refused:
                rule = refused.message.split(": ", 2)[2]
                findings.append(Finding(self.lines, self._name(line), rule))
                continue
            if command is not None:
                commands[command.split(b" ", 1)[0].decode()] += 1
            x, y, z = self.positions.xyz
            x_most, y_most, z_most = max(x_most, x or 0.0), max(y_most, y or 0.0), max(z_most, z or 0.0)
        reach = (round(x_most, 3), round(y_most, 3), round(z_most, 3))
        return GuardReport(self.lines, dict(commands), tuple(findings), self.positions.moved, reach)


def _switches_off_absent(rule: CommandRule, tokens: list[bytes]) -> bool:
    """`M104 S0 T1`, which end codes for several machines have, on a machine with one tool."""
    if len(tokens) != 2 or rule.absent.encode() + b"0" not in tokens:
        return False
    tools = [token[1:] for token in tokens if token[:1] == b"T"]
    return len(tools) == 1 and _INTEGER(tools[0]) is not None and rule.parameters["T"].high < int(tools[0]) < 16


def parameter_value(letter: str, parameter: ParameterRule, text: bytes) -> float:
    """The value of one parameter in its bounds. Raises Broken."""
    if parameter.values:
        if text not in parameter.values:
            raise Broken(f"parameter {letter} is not one of those that are allowed")
        return 0.0
    if parameter.flag:
        if text not in (b"", b"0", b"1"):
            raise Broken(f"parameter {letter} has no value here")
        return 0.0
    if not (_INTEGER(text) if parameter.integer else _FLOAT(text)):
        raise Broken(f"parameter {letter} is not a plain {'integer' if parameter.integer else 'decimal number'}")
    value = float(text)
    if not parameter.low <= value <= parameter.high:
        raise Broken(f"parameter {letter} is not between {parameter.low:g} and {parameter.high:g}")
    return value


def _lines(source: Path | Iterable[bytes]) -> Iterable[bytes]:
    if isinstance(source, Path):
        with source.open("rb") as file:
            while line := file.readline(MAX_COMMENT_BYTES):
                yield line.removesuffix(b"\n")
        return
    rest = b""
    for chunk in source:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest
