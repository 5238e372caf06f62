"""What of a licensed print may be seen in OctoPrint's terminal, logs and messages: that lines are sent, not which.

OctoPrint shows every line it sends to each logged-in browser, keeps the last ones for error reports, and writes all of
them to serial.log where that is switched on. While a licensed print runs, sent lines are shown by their number only,
but for OctoPrint's own harmless questions; received lines that repeat a command are hidden, and so is every log record
of any part of OctoPrint that has a recent line in it.
"""

from __future__ import annotations

import logging
import re

HIDDEN = "(licensed line)"
_OPEN = re.compile(
    r"(?:N[0-9]+ )?"
    r"(?:M105|M108|M110(?: N[0-9]+)?|M112|M114|M115|M15[45](?: S[0-9]+)?|M20[A-Z ]*|M21|M27(?: S[0-9]+)?|M29|M400|M410)"
    r"(?:\*[0-9]+)?\Z"
)
_NUMBER = re.compile(r"N[0-9]+ ")
_PLAIN = re.compile(r"(?:ok(?: N[0-9]+ P[0-9]+ B[0-9]+)?|wait|echo:busy: [a-z ]+)?\s*\Z")
_COMMAND = re.compile(r"(?<![A-Za-z])[GMT][0-9]{1,4}(?:\.[0-9]+)?\s*[A-Z]-?\.?[0-9]")
_START = re.compile(r"ok\b|Error:|!!|echo:|(?:Resend|rs):? ?N?[0-9]+")
SHORTEST = 6
"""Shorter lines (G28, M107) are no secret, and would hide half of every log."""


class Quiet:
    """Decides for one licensed file. `recent` is the queue of its last lines."""

    def __init__(self, recent):
        self._recent = recent

    def sent(self, message):
        """The terminal's and serial.log's line for something sent."""
        text = message[6:]
        if _OPEN.match(text):
            return message
        number = _NUMBER.match(text)
        return f"Send: {number[0] if number else ''}{HIDDEN}"

    def received(self, text):
        """Whether a received line may be shown."""
        return bool(_PLAIN.match(text)) or not (_COMMAND.search(text) or self.names(text))

    @staticmethod
    def without(text):
        """A received line that may not be shown, with what OctoPrint needs of it."""
        start = _START.match(text)
        return f"{start[0] if start else 'echo:'} {HIDDEN}\n"

    def names(self, text):
        """Whether a text has one of the recent lines in it."""
        return any(line in text for line in tuple(self._recent) if len(line) >= SHORTEST)

    def terminal(self, message):
        """What OctoPrint's `_log` may get instead of `message`."""
        if message.startswith("Send: "):
            return self.sent(message)
        if message.startswith("Recv: "):
            return message if self.received(message[6:]) else f"Recv: {HIDDEN}"
        return f"{HIDDEN}" if self.names(message) else message


class Net(logging.Filter):
    """A filter for all of OctoPrint's log handlers while a licensed print runs."""

    def __init__(self, quiet):
        super().__init__()
        self._quiet = quiet
        self._handlers = []

    def filter(self, record):
        text = record.getMessage()
        if record.exc_info:
            text += repr(record.exc_info[1])
        if self._quiet.names(text):
            record.msg, record.args, record.exc_info, record.exc_text = HIDDEN, None, None, None
        return True

    def spread(self):
        loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
        for logger in loggers:
            for handler in getattr(logger, "handlers", ()):
                if handler not in self._handlers:
                    handler.addFilter(self)
                    self._handlers.append(handler)

    def gather(self):
        for handler in self._handlers:
            handler.removeFilter(self)
        self._handlers.clear()
