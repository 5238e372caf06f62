"""The socket on which the agent hands over lines: the plugin's half of `printright.units.drivers.octoprint.link`."""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

MAX_MESSAGE_BYTES = 1 << 20
SEND_TIMEOUT_S = 10.0


class LineSocket:
    """Listens at `path` (mode 0600, or 0660 for a group) and serves one agent at a time."""

    def __init__(self, path, group, printing, logger):
        self._path, self._printing, self._logger = path, printing, logger
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(FileNotFoundError):
            Path(path).unlink()
        before = os.umask(0o177)
        try:
            self._listener.bind(path)
        finally:
            os.umask(before)
        if group:
            import grp

            os.chown(path, -1, grp.getgrnam(group).gr_gid)
            Path(path).chmod(0o660)
        self._listener.listen(4)
        self._agent = None
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="printright-door", daemon=True).start()

    @property
    def connected(self):
        return self._agent is not None

    def close(self):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        agent = self._agent
        if agent is not None:
            with suppress(OSError):
                agent.shutdown(socket.SHUT_RDWR)
        with suppress(FileNotFoundError):
            Path(self._path).unlink()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                taken = self._agent is not None
                if not taken:
                    self._agent = connection
            if taken:
                with suppress(OSError):
                    connection.sendall(b'{"printright":1,"state":"busy"}\n')
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), name="printright-agent", daemon=True).start()

    def _serve(self, connection):
        def say(report):
            try:
                connection.sendall(json.dumps(report).encode() + b"\n")
            except OSError:
                # Also a time-out: an agent that does not read is no agent.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

        seconds, rest = divmod(SEND_TIMEOUT_S, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(int(seconds), int(rest * 1e6)))
        printing = self._printing
        try:
            say(printing.report())
            printing.say = say
            with connection.makefile("rb") as lines:
                while True:
                    line = lines.readline(MAX_MESSAGE_BYTES)
                    if not line.endswith(b"\n"):
                        break
                    self._obey(json.loads(line))
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Only its kind: a message may have lines of the file in it.
            self._logger.error("the conversation with the agent ended: %s", type(error).__name__)
        finally:
            printing.say = None
            printing.cancel(())
            connection.close()
            self._agent = None

    def _obey(self, said):
        printing, do = self._printing, said["do"]
        if do == "lines":
            printing.put(said["run"], said["first"], said["lines"], said["bytes"])
        elif do == "start":
            printing.begin(int(said["run"]), said["size"])
        elif do == "end":
            printing.end(said["run"], said["count"])
        elif do == "cancel":
            printing.cancel([str(line) for line in said["lines"]])
        elif do in ("pause", "resume", "halt"):
            getattr(printing, do)()
        else:
            raise ValueError("not a message of an agent")


def _timeval(seconds, microseconds):
    import struct

    return struct.pack("@ll", seconds, microseconds)
