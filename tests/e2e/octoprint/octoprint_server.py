"""A real OctoPrint with the plugin in it, installed from its wheel, and clients of it with and without rights."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from programs import program

ROOT = Path(__file__).parents[3]
PASSWORD = "correct horse battery"
HASH = "$argon2id$v=19$m=65536,t=3,p=4$wljLOUcIAcDYW8sZo9T6Hw$aBTgODJq+picFyi07VIg3DhfDTiFlRbPMHbo1OxgdQ4"
"""Of the password, as OctoPrint keeps it."""

QUIET = {
    "server": {
        "firstRun": False,
        "onlineCheck": {"enabled": False},
        "pluginBlacklist": {"enabled": False},
        "ipCheck": {"enabled": False},
        "seenWizards": {"corewizard": 4, "backup": None, "tracking": None, "errortracking": None},
    },
    # They ask the network, or cover the page; everything else that is bundled is on.
    "plugins": {
        "_disabled": [
            *("announcements", "softwareupdate", "tracking", "discovery", "pi_support", "firmware_check"),
            "achievements",
        ]
    },
}


def build_plugin(folder: Path) -> Path:
    """The plugin's wheel, built and unpacked as an installer does it; the folder is for PYTHONPATH."""
    source = ROOT / "plugins" / "octoprint"
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    site = folder / "site"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--offline", "--target", site, wheel], check=True)
    return site


def until(what: str, found: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline_s, f"{what} did not come"
        time.sleep(0.02)


@dataclass
class Answer:
    status: int
    raw: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Any:
        return json.loads(self.raw)


class Client:
    """Somebody who is logged in, as a browser is: session cookie and CSRF token. No name: a visitor."""

    def __init__(self, port: int, user: str = "") -> None:
        self._port = port
        self.cookies: dict[str, str] = {}
        self.user = user
        self.get("/login/")
        if user:
            answer = self.post("/api/login", {"user": user, "pass": PASSWORD, "remember": False})
            assert answer.status == 200, answer

    def request(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", csrf: bool = True
    ) -> Answer:
        headers = {"Content-Type": kind, "Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        token = self.cookies.get(f"csrf_token_P{self._port}")
        if token and csrf:
            headers["X-CSRF-Token"] = token
        payload = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.read(), dict(response.getheaders()))
            for name, value in response.getheaders():
                if name.lower() == "set-cookie":
                    key, _, rest = value.partition("=")
                    self.cookies[key] = rest.partition(";")[0]
        finally:
            connection.close()
        return answer

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.request("POST", path, {} if body is None else body, **more)


class OctoPrint:
    """A server on loopback. `admin` may all; `operator` may print licensed jobs; `user` has OctoPrint's own rights."""

    def __init__(self, folder: Path, site: Path, **settings: Any) -> None:
        self.folder, self._site = folder, site
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.port_link = folder / "printer"
        self.key = uuid.uuid4().hex.upper()
        self.base = folder / "base"
        self.base.mkdir(parents=True)
        serial = {"additionalPorts": [str(self.port_link)], "autoconnect": False, "log": True}
        config = {
            **QUIET,
            "api": {"key": self.key},
            "serial": serial,
            "webcam": {"timelapseEnabled": True},
            "accessControl": {"salt": "pepper"},
            "devel": {"virtualPrinter": {"enabled": True}},
        }
        config["plugins"] = {**QUIET["plugins"], "printright": settings, "virtual_printer": {"enabled": True}}
        (self.base / "plugins").mkdir()
        shutil.copy(Path(__file__).with_name("show_routes.py"), self.base / "plugins")
        (self.base / "config.yaml").write_text(json.dumps(config))
        self._environment = {**os.environ, "PYTHONPATH": str(site)}
        self._command = [str(program("octoprint")), "--basedir", str(self.base)]
        # As `octoprint user add` makes them, which starts half of OctoPrint for each.
        users: dict[str, Any] = {"_version": 2}
        for name, roles, groups, permissions in (
            ("admin", ["user", "admin"], ["admins"], []),
            ("operator", ["user"], ["users"], ["PLUGIN_PRINTRIGHT_PRINT"]),
            ("user", ["user"], ["users"], []),
        ):
            users[name] = {"active": True, "apikey": None, "groups": groups, "password": HASH, "roles": roles}
            users[name] |= {"permissions": permissions, "settings": {}}
        (self.base / "users.yaml").write_text(json.dumps(users))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "output.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, "serve", "--iknowwhatimdoing", "--host", "127.0.0.1", "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )
        until("OctoPrint", self._answers, 120)
        until("the plugin's socket", self.socket.exists, 30)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "output.log").read_text()[-3000:]
        with suppress(OSError, http.client.HTTPException):
            return self.api("GET", "version").status == 200
        return False

    def stop(self, *, kill: bool = False) -> None:
        if self.process is not None:
            self.process.kill() if kill else self.process.terminate()
            self.process.wait(60)
            self.process = None

    @property
    def socket(self) -> Path:
        return self.base / "data" / "printright" / "lines.sock"

    def api(self, method: str, path: str, body: Any = None) -> Answer:
        """OctoPrint's API with the application key: as an admin."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(
                method, f"/api/{quote(path)}", payload, {"X-Api-Key": self.key, "Content-Type": "application/json"}
            )
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def state(self) -> str:
        return str(self.api("GET", "connection").data["current"]["state"])

    def connect(self, port: str) -> None:
        """Connect to the printer at `port`; OctoPrint knows it under one name."""
        self.port_link.unlink(missing_ok=True)
        self.port_link.symlink_to(port)
        said = self.api("POST", "connection", {"command": "connect", "port": str(self.port_link), "baudrate": 115200})
        assert said.status == 204, said
        until("the printer", lambda: self.state() == "Operational", 30)

    def disconnect(self) -> None:
        self.api("POST", "connection", {"command": "disconnect"})
        until("the printer's end", lambda: self.state() == "Closed" or "Offline" in self.state(), 30)

    def log(self) -> str:
        return (self.base / "logs" / "octoprint.log").read_text()

    def client(self, user: str = "") -> Client:
        return Client(self.port, user)
