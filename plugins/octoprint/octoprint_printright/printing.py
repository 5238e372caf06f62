"""What the agent asks of OctoPrint: begin, feed, pause, cancel, halt; and what it is told.

Nothing here runs long in OctoPrint's threads: they set flags, one thread of our own does the rest.
"""

from __future__ import annotations

import threading
import time

from .run import Run
from .tamed import Tamed, unfit

COOL = ("M104 S0", "M140 S0", "M107")
STATES = {
    "OPERATIONAL": "idle",
    "PAUSED": "paused",
    "ERROR": "error",
    "CLOSED_WITH_ERROR": "error",
}
BUSY = ("STARTING", "PRINTING", "PAUSING", "RESUMING", "FINISHING", "CANCELLING", "TRANSFERING_FILE")
PACE_S = 0.02
HEARTBEAT_S = 1.0
MAX_LINE = 96

# While a licensed job prints, others may send these: to look, to warm and cool, to move, to change filament, to stop.
# What is not here cannot make the printer record or show what it gets (M28, M928, M111, ...).
_ALLOWED = (
    "G0 G1 G4 G10 G11 G27 G28 G90 G91 G92 M17 M18 M27 M29 M82 M83 M84 M85 M104 M105 M106 M107 M108 M109 M110 M112 "
    "M113 M114 M115 M119 M140 M141 M154 M155 M190 M191 M220 M221 M290 M400 M410 M600 M603 M701 M702 M876 T"
)
ALLOWED = frozenset(_ALLOWED.split())


class Printing:
    """The runs, one after another. `report` goes to the agent whenever something changed, and every second."""

    def __init__(self, printer, settings, plugins, identifier, logger):
        self._printer, self._settings, self._plugins = printer, settings, plugins
        self._identifier, self._logger = identifier, logger
        self._tamed = None
        self._last = None
        self.run = None
        self.say = None
        """Called with a report, in our own thread; set by the line socket while an agent is connected."""
        self.title_hint = self.user_hint = ""
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._tend, name="printright", daemon=True)
        self._thread.start()

    # What the agent asks -------------------------------------------------------------------------------------------

    def obstacle(self):
        """Why no licensed job could begin now, apart from what OctoPrint is doing; an empty text where one could."""
        comm = self._printer._comm
        if comm is None:
            return "no printer is connected to OctoPrint"
        problem = unfit(comm, self._identifier)
        if problem:
            return problem
        port = self._printer.get_current_connection()[1]
        if port == "VIRTUAL" and not self._settings.get_boolean(["allow_virtual_printer"]):
            return "the virtual printer writes what it gets to a log: it prints no licensed jobs"
        tracking = self._plugins.get_plugin_info("errortracking")
        if tracking is not None and tracking.enabled and tracking.implementation._settings.get_boolean(["enabled"]):
            return "OctoPrint's error tracking is on, which would send parts of the file elsewhere"
        return ""

    def begin(self, number, size):
        with self._lock:
            run = Run(number, self.title_hint or "licensed job", size, self.user_hint or None, self._wake.set)
            problem = self.obstacle()
            comm = self._printer._comm
            if not problem and (self.run is not None or not comm.isOperational() or comm.isBusy()):
                problem = "the printer is busy"
            if not problem:
                problem = self._start(comm, run)
            if problem:
                run.ended, run.reason = "refused", problem
                run.over.set()
            self._last = run
            self._wake.set()

    def _start(self, comm, run):
        if self._tamed is None or self._tamed.comm is not comm:
            self._tamed = Tamed(comm)
        run.resends_before = comm.received_resends
        run.virtual = self._printer.get_current_connection()[1] == "VIRTUAL"
        run.net.spread()
        self._tamed.run = self.run = run
        comm._currentFile = run.file
        # As a file on the printer's SD card it has no path on this disk, and no history or analysis there.
        self._printer.on_comm_file_selected(run.file.getFilename(), run.file.getFilesize(), True, user=run.user)
        self._printer.start_print(user=run.user, tags={"source:plugin", f"plugin:{self._identifier}"})
        if comm._currentFile is run.file and (comm.isBusy() or run.ended):
            return ""
        self._forget(run)
        return "another file was selected at this moment"

    def put(self, number, first, lines, pos):
        run = self._current(number)
        if run is None:
            return
        if first != run.file.come or any(not 0 < len(line) <= MAX_LINE for line in lines):
            self._logger.error("lines of a licensed job are missing or malformed: it is canceled")
            self.cancel(())
            return
        run.file.put(lines, pos)

    def end(self, number, count):
        run = self._current(number)
        if run is not None:
            if count == run.file.come:
                run.file.end()
            else:
                self.cancel(())

    def _current(self, number):
        run = self.run
        return run if run is not None and run.number == number and not run.ended else None

    def pause(self):
        run = self.run
        if run is not None:
            run.resume_wanted = False
            self._printer.pause_print(user=run.user)

    def resume(self):
        run = self.run
        if run is not None:
            # OctoPrint ignores it while it is still pausing.
            run.resume_wanted = self._printer.get_state_id() == "PAUSING"
            self._printer.resume_print(user=run.user)

    def cancel(self, cool_down):
        """End the run: no further line, heaters and fan off, then `cool_down`."""
        run = self.run
        if run is not None and not run.ended:
            run.cool_down = tuple(cool_down)
            run.file.break_off()
            self._printer.cancel_print(user=run.user)

    def halt(self):
        if self.run is not None:
            self.run.halted = True
        self._printer.commands("M112", force=True)

    def close(self):
        """OctoPrint is shutting down, or the plugin is."""
        self.cancel(())
        self._closed = True
        self._wake.set()

    # What it is told -----------------------------------------------------------------------------------------------

    def report(self):
        state = self._printer.get_state_id()
        word = STATES.get(state, "printing" if state in BUSY else "offline")
        problem = self.obstacle()
        run = self._last
        if word == "idle" and problem:
            word = "blocked"
        elif word == "error" and run is not None and run.ended == "halted":
            word = "halted"
        heat = self._printer.get_current_temperatures() or {}
        firmware = self._printer.firmware_info or {}
        said = {
            "printright": 1,
            "state": word,
            "problem": problem,
            "firmware": str(firmware.get("name") or "")[:120],
            "nozzle": _heater(heat.get("tool0")),
            "bed": _heater(heat.get("bed")),
        }
        if run is not None:
            # `ended` is read first: what is true of the counters when it is set, stays true.
            over = run.over.is_set()
            comm = self._printer._comm
            said.update(
                run=run.number,
                taken=run.file.taken,
                sent=run.sent,
                resends=max(0, comm.received_resends - run.resends_before) if comm is not None else 0,
                ended=run.ended if over else "",
                reason=run.reason if over else "",
            )
        return said

    def _tend(self):
        while not self._closed:
            self._wake.wait(HEARTBEAT_S)
            self._wake.clear()
            try:
                run = self.run
                if run is not None and run.ended:
                    self._after(run)
                elif run is not None and run.resume_wanted and self._printer.get_state_id() == "PAUSED":
                    self.resume()
                say = self.say
                if say is not None:
                    say(self.report())
            except Exception:
                self._logger.exception("a report to the agent failed")
            time.sleep(PACE_S)

    def _after(self, run):
        self._forget(run)
        if run.ended != "completed" and self._printer.is_operational():
            self._printer.commands([*COOL, *run.cool_down], tags={"plugin:" + self._identifier})
        run.over.set()

    def _forget(self, run):
        with self._lock:
            run.file.break_off()
            if self._tamed is not None and self._tamed.run is run:
                self._tamed.release()
            run.net.gather()
            self.run = None

    # OctoPrint's hooks: for every line of every print ----------------------------------------------------------------

    def queuing(self, comm, phase, cmd, cmd_type, gcode, subcode=None, tags=None, *args, **kwargs):
        run = self.run
        if run is None:
            return None
        if tags and "source:file" in tags:
            # OctoPrint's virtual printer dies of it where nothing is being recorded.
            return (None,) if gcode == "M29" and run.virtual else None
        if gcode in ALLOWED or (gcode is None and cmd.startswith("@")):
            return None
        self._logger.info("held back while a licensed job prints: %s", gcode or "a command that is no G-code")
        return (None,)

    def sent(self, comm, phase, cmd, cmd_type, gcode, subcode=None, tags=None, *args, **kwargs):
        run = self.run
        if run is not None and tags and "source:file" in tags:
            run.sent += 1
            if run.sent < 8:
                self._wake.set()

    def received(self, comm, line, *args, **kwargs):
        run = self.run
        if run is None or not line or run.quiet.received(line):
            return line
        return run.quiet.without(line)


def _heater(value):
    value = value or {}
    return [float(value.get("actual") or 0.0), float(value.get("target") or 0.0)]
