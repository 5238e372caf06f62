"""A print file that OctoPrint can print and nobody can read: lines in a bounded queue, each handed out once."""

from __future__ import annotations

import collections
import threading

from octoprint.filemanager.destinations import FileDestinations
from octoprint.util.comm import PrintingFileInformation, SendQueueMarker

WAIT_S = 0.05


class LicensedFile(PrintingFileInformation):
    """Fed by the line socket, read by OctoPrint's sender. Can be printed once.

    `taken` counts the lines handed to the sender; `on_taken` is called, in the sender's thread, every `TELL_EVERY`
    lines and for the first one: it must do next to nothing.
    """

    TELL_EVERY = 64
    RECENT = 192

    def __init__(self, name, size, user, on_taken):
        super().__init__(name, user=user)
        self._size = size
        self.taken = 0
        self.recent = collections.deque(maxlen=self.RECENT)
        """The last lines handed out: what the log must not show. More than OctoPrint keeps for resends."""
        self._on_taken = on_taken
        self._lines = collections.deque()
        self._lock = threading.Lock()
        self._told = threading.Event()
        self._ended = False
        self._broken = False
        self._started = False

    # For the line socket -----------------------------------------------------------------------------------------

    def put(self, lines, pos):
        """More lines; with the last of them the file is read up to byte `pos`."""
        last = len(lines) - 1
        self._lines.extend((line, pos if index == last else None) for index, line in enumerate(lines))
        self._told.set()

    def end(self):
        """No more lines will come: the file is whole."""
        self._ended = True
        self._told.set()

    def break_off(self):
        """Forget what is left; the next read fails, so that OctoPrint cancels the print."""
        self._broken = True
        self._lines.clear()
        self._told.set()

    @property
    def come(self):
        """How many lines have come so far."""
        with self._lock:
            return self.taken + len(self._lines)

    @property
    def whole(self):
        """Whether every line of the file was handed to the sender."""
        return self._ended and not self._broken and not self._lines

    # For OctoPrint's sender ----------------------------------------------------------------------------------------

    def getFileLocation(self):
        return FileDestinations.SDCARD

    def start(self):
        if self._started:
            # Somebody clicked "Print" once more: there is nothing to print.
            self.break_off()
        self._started = True
        super().start()

    def close(self):
        self.break_off()

    def getNext(self):
        """The next line, or a marker that has the sender look again soon: this must not wait, it holds locks."""
        if self._broken:
            raise OSError("the licensed job was broken off")
        try:
            with self._lock:
                line, pos = self._lines.popleft()
                self.taken += 1
        except IndexError:
            if self._ended:
                self.done = True
                self._on_taken()
                return None, None, None
            self._told.clear()
            self._on_taken()
            return SendQueueMarker(self._wait), self._pos, self.taken
        self.recent.append(line)
        if pos is not None:
            self._pos = pos
        if self.taken % self.TELL_EVERY == 1:
            self._on_taken()
        return line, self._pos, self.taken

    def _wait(self):
        if not self._lines and not self._ended and not self._broken:
            self._told.wait(WAIT_S)
