"""Talk to an agent, on its Unix socket or its port. Standard library only: a command should not wait for imports."""

from __future__ import annotations

import http.client
import json
import os
import socket
import tomllib
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from printright.cli.output import home_folder
from printright.errors import (
    BadSettings,
    BadValue,
    CouldNotCheck,
    MachineUnavailable,
    Misuse,
    NotMine,
    PrintrightError,
    Refused,
)

_CLASS_OF = {1: PrintrightError, 2: Misuse, 3: Refused, 4: CouldNotCheck, 5: NotMine}
TIMEOUT_S = 60.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class AgentClient:
    """JSON requests to an agent: that of a home, or the one at `agent`, a socket's path or http://127.0.0.1:port."""

    def __init__(self, home: Path, agent: str = "", token: str = "") -> None:
        self._url = urllib.parse.urlsplit(agent) if agent.startswith("http://") else None
        self._socket = Path(agent) if agent and not self._url else home / "agent.sock"
        self._where = agent or str(self._socket)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    @classmethod
    def current(cls) -> AgentClient:
        """The agent that PRINTRIGHT_AGENT names, with the token in PRINTRIGHT_TOKEN_FILE; else that of the home."""
        home = home_folder()
        agent = os.environ.get("PRINTRIGHT_AGENT", "") or socket_of(home)
        token_file = os.environ.get("PRINTRIGHT_TOKEN_FILE")
        return cls(home, agent, read_token(Path(token_file)) if token_file else "")

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
            f"the agent on {self._where} ended in the middle of its answer",
            hint="start it again: `printright unit run` with the same --home; then see `printright job status`",
        )

    def _connection(self) -> http.client.HTTPConnection:
        if self._url is None:
            return _UnixConnection(self._socket)
        return http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)

    def _open(self, method: str, path: str, body: Any) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connection()
        payload = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, payload, self._headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise MachineUnavailable(
                f"the agent does not answer on {self._where}: {error}",
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


def read_token(path: Path) -> str:
    """An operator's token. Raises BadSettings for a file that others may read, or none."""
    try:
        with path.open() as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise BadSettings(f"others may read the token in {path}", hint=f"chmod 600 {path}")
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"the token file cannot be read: {error}") from None


def socket_of(home: Path) -> str:
    """Where a unit's settings put its agent's socket; empty for the usual place."""
    # By the settings alone, without checking them all: this stands before every operator's command.
    try:
        unit = tomllib.loads((home / "printright.toml").read_text()).get("unit", {})
        return str(home / unit["api_socket"]) if "api_socket" in unit else ""
    except (OSError, ValueError, AttributeError, TypeError):
        return ""
