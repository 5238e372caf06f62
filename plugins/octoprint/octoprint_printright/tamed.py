"""OctoPrint's connection to the printer, watched: its state changes as they happen, and its log made quiet.

This reaches into `octoprint.util.comm.MachineCom` of OctoPrint 1.11, which has no port for it. What it needs is checked
beforehand: an OctoPrint that does not have it prints no licensed jobs.
"""

from __future__ import annotations

from octoprint.util.comm import MachineCom

NEEDED = (
    *("_log", "_log_command_phase", "_changeState", "_trigger_error", "_currentFile", "_gcode_hooks", "_lastLines"),
    *("_line_mutex", "_manualStreaming", "_jobLock", "_received_message_hooks", "unselectFile", "getErrorString"),
)
HOOKS = ("queuing", "sent")


def unfit(comm, plugin):
    """Why this connection cannot print licensed jobs, or an empty text."""
    if not isinstance(comm, MachineCom) or any(not hasattr(comm, name) for name in NEEDED):
        return "this version of OctoPrint is not known to the Printright plugin"
    if any(plugin not in comm._gcode_hooks.get(hook, ()) for hook in HOOKS) or (
        plugin not in comm._received_message_hooks
    ):
        return "connect the printer again: the plugin was not there when it was connected"
    if comm._manualStreaming:
        return "the printer is writing to its SD card"
    return ""


class Tamed:
    """One connection. `run` is the licensed run whose lines it may hold, or None; set by `hold` and `release`."""

    def __init__(self, comm):
        self.comm = comm
        self.run = None
        self._log, self._phase = comm._log, comm._log_command_phase
        self._change, self._error = comm._changeState, comm._trigger_error
        comm._log, comm._log_command_phase = self.log, self.phase
        comm._changeState, comm._trigger_error = self.change_state, self.error

    def log(self, message):
        run = self.run
        self._log(message if run is None else run.quiet.terminal(str(message)))

    def phase(self, phase, command, *args, **kwargs):
        if self.run is None:
            self._phase(phase, command, *args, **kwargs)

    def change_state(self, state):
        self._change(state)
        run = self.run
        if run is not None:
            run.state_changed(self.comm.getStateId(state), self.comm.getErrorString())

    def error(self, text, reason, *args, **kwargs):
        run = self.run
        if run is not None:
            run.error_reason = run.error_reason or reason
        self._error(text, reason, *args, **kwargs)

    def release(self):
        """The run has ended: nothing of it stays for a resend, and the log is open again."""
        with self.comm._line_mutex:
            self.comm._lastLines.clear()
        if self.comm._currentFile is not None and self.comm._currentFile is self.run.file:
            self.comm.unselectFile()
        self.run = None
