"""Talk to the agent on its Unix socket. Standard library only: an operator's command should not wait for imports."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from printright.errors import BadValue, CouldNotCheck, MachineUnavailable, Misuse, NotMine, PrintrightError, Refused

_CLASS_OF = {1: PrintrightError, 2: Misuse, 3: Refused, 4: CouldNotCheck, 5: NotMine}
TIMEOUT_S = 60.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("agent", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class AgentClient:
    """JSON requests to the agent of the unit whose home this is."""

    def __init__(self, home: Path) -> None:
        self._socket = home / "agent.sock"

    def get(self, path: str) -> Any:
        return self._request("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        return self._request("POST", path, body)

    def lines(self, path: str) -> Iterator[Any]:
        """The JSON lines of a streaming answer, as they come."""
        connection, response = self._open("GET", path, None)
        try:
            while line := self._whole(response.readline):
                if not line.endswith(b"\n"):
                    raise self._broken_off()
                yield json.loads(line)
        finally:
            connection.close()

    def _request(self, method: str, path: str, body: Any) -> Any:
        connection, response = self._open(method, path, body)
        try:
            return json.loads(self._whole(response.read))
        finally:
            connection.close()

    def _whole(self, read: Callable[[], bytes]) -> bytes:
        """Part of an answer. An agent that is killed leaves half of one."""
        try:
            return read()
        except (OSError, http.client.HTTPException):
            raise self._broken_off() from None

    def _broken_off(self) -> MachineUnavailable:
        return MachineUnavailable(
            f"the agent on {self._socket} ended in the middle of its answer",
            hint="start it again: `printright unit run` with the same --home; then see `printright job status`",
        )

    def _open(self, method: str, path: str, body: Any) -> tuple[_UnixConnection, http.client.HTTPResponse]:
        connection = _UnixConnection(self._socket)
        payload = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise MachineUnavailable(
                f"the agent does not answer on {self._socket}: {error}",
                hint="is it running? `printright unit run` with the same --home",
            ) from None
        if response.status >= 400:
            raw = response.read()
            connection.close()
            try:
                said = json.loads(raw)
                raise _CLASS_OF[said["exit_code"]](said["error"], hint=said["hint"])
            except (ValueError, KeyError, TypeError):
                raise BadValue(f"the agent answered {response.status}") from None
        return connection, response
