"""One licensed print as OctoPrint's connection lives through it."""

from __future__ import annotations

import re
import threading

from .licensed_file import LicensedFile
from .quiet import Net, Quiet

ENDS = {"firmware": "killed", "resend": "lost", "resend_loop": "lost", "start_print": "lost"}
"""OctoPrint's reasons for an error, in the agent's words."""

DEAD = ("ERROR", "CLOSED", "CLOSED_WITH_ERROR", "OFFLINE")


def shown_name(title):
    """A name for OctoPrint's pages, events and other plugins: nothing in it can be a path, markup or a control."""
    name = re.sub(r"[^\w .()+-]", "_", title, flags=re.ASCII).strip(" .")[:60]
    return name or "licensed job"


class Run:
    """`ended` is empty until it has, then one of the agent's words; `reason` is a sentence for the operator."""

    def __init__(self, number, title, size, user, wake):
        self.number, self.user = number, user
        self.file = LicensedFile(shown_name(title), size, user, wake)
        self.quiet = Quiet(self.file.recent)
        self.net = Net(self.quiet)
        self.sent = 0
        self.resends_before = 0
        self.ended = self.reason = self.error_reason = ""
        self.canceled_by = ""
        self.halted = self.canceling = self.finishing = self.resume_wanted = self.virtual = False
        self.cool_down = ()
        self.over = threading.Event()
        """Set when OctoPrint is free again and nothing of the run is left in it."""
        self._wake = wake

    def state_changed(self, state, error):
        """Called in OctoPrint's threads with each new state."""
        if self.ended:
            return
        if state == "FINISHING":
            self.finishing = True
        elif state == "CANCELLING":
            self.canceling = True
            self.file.break_off()
        elif state == "OPERATIONAL":
            if self.finishing and not self.canceling and self.file.whole:
                self._end("completed", "")
            else:
                who = f" by {self.canceled_by}" if self.canceled_by else ""
                self._end("canceled", f"canceled in OctoPrint{who}")
        elif state in DEAD:
            self.file.break_off()
            if self.halted or "M112" in error:
                self._end("halted", "an emergency stop was ordered in OctoPrint")
            elif self.error_reason:
                said = "" if self.quiet.names(error) else f": {error[:200]}"
                self._end(ENDS.get(self.error_reason, "unplugged"), f"OctoPrint reports an error of the printer{said}")
            else:
                self._end("unplugged", "OctoPrint lost or closed the connection to the printer")
        self._wake()

    def _end(self, ended, reason):
        self.reason = reason
        self.ended = ended
