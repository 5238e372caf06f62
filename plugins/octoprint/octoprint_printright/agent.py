"""The unit agent's API, asked over its Unix socket or, with a token, on a loopback port. Standard library only."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse

ON_BEHALF_OF = "Printright-On-Behalf-Of"
TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 64 << 20


class AgentError(Exception):
    """The agent refused (`status` 4xx, with its own words) or does not answer (`status` 502)."""

    def __init__(self, message, hint="", status=502):
        super().__init__(message)
        self.message, self.hint, self.status = message, hint, status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout_s):
        super().__init__("agent", timeout=timeout_s)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Agent:
    """`place` tells where the agent is now, and the token for it: settings may change."""

    def __init__(self, place):
        self._place = place

    def ask(self, method, path, body=None, *, user="", timeout_s=TIMEOUT_S):
        """The agent's answer as data; it writes down `user` as who asked. Raises AgentError."""
        place, token = self._place()
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if user:
            headers[ON_BEHALF_OF] = urllib.parse.quote(user)
        connection = _connection(place, timeout_s)
        payload = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            said = json.loads(response.read(MAX_ANSWER_BYTES))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise AgentError(
                f"the agent does not answer on {place}: {error}", "is `printright unit run` running for this printer?"
            ) from None
        finally:
            connection.close()
        if response.status >= 400:
            if not isinstance(said, dict):
                said = {}
            raise AgentError(str(said.get("error", "the agent refused")), str(said.get("hint", "")), 409)
        return said


def _connection(place, timeout_s):
    """A socket's path, or http://127.0.0.1:PORT. Raises AgentError for anything else."""
    if place.startswith("/"):
        return _Connection(place, timeout_s)
    url = urllib.parse.urlsplit(place)
    if url.scheme == "http" and url.hostname in ("127.0.0.1", "localhost") and not url.path.strip("/"):
        return http.client.HTTPConnection(url.hostname, url.port or 80, timeout=timeout_s)
    raise AgentError("no agent is set", "name its socket or loopback address in the settings of Licensed jobs", 409)
