"""OctoPrint as a peer: its own program, with nothing on it that a print does not need, driven by its REST API."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import URLError

PROGRAM = Path(__file__).parents[2] / ".cache" / "octoprint" / "bin" / "octoprint"
PLUGINS = (
    *("achievements", "announcements", "backup", "discovery", "errortracking", "eventmanager", "firmware_check"),
    *("gcodeviewer", "pluginmanager", "softwareupdate", "tracking", "virtual_printer", "action_command_notification"),
    *("action_command_prompt", "file_check", "health_check", "logging", "pi_support", "upload_manager"),
)


class OctoPrint:
    """A server on loopback with one serial port. Settings are OctoPrint's own but for what is named here: no wizard, no
    online checks, no plugins but the core and (in `site`) ours, no analysis of files, no serial log, no timelapse.
    """

    def __init__(self, port: str, site: Path | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            listen = free.getsockname()[1]
        self._folder = tempfile.TemporaryDirectory()
        self._port, self._url, self._key = port, f"http://127.0.0.1:{listen}/api", uuid.uuid4().hex.upper()
        config = {
            "server": {
                "firstRun": False,
                "onlineCheck": {"enabled": False},
                "pluginBlacklist": {"enabled": False},
                "ipCheck": {"enabled": False},
            },
            "api": {"key": self._key},
            "plugins": {"_disabled": list(PLUGINS)},
            "gcodeAnalysis": {"runAt": "never"},
            "serial": {"additionalPorts": [port], "autoconnect": False, "log": False},
            "webcam": {"webcamEnabled": False, "timelapseEnabled": False},
        }
        # JSON is YAML.
        (Path(self._folder.name) / "config.yaml").write_text(json.dumps(config))
        self._log = (Path(self._folder.name) / "output.log").open("wb")
        self._process = subprocess.Popen(
            [
                PROGRAM,
                "serve",
                "--iknowwhatimdoing",
                "--basedir",
                self._folder.name,
                "--host",
                "127.0.0.1",
                "--port",
                str(listen),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **({"PYTHONPATH": str(site)} if site else {})},
        )

    def __enter__(self) -> OctoPrint:
        self._until(lambda: self._get("version"), 120)
        self._post("connection", {"command": "connect", "port": self._port, "baudrate": 115200})
        self._until(lambda: self._get("connection")["current"]["state"] == "Operational", 30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()
        self._folder.cleanup()

    def upload(self, file: bytes) -> None:
        """The file that `print` will print."""
        border = uuid.uuid4().hex
        head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="part.gcode"\r\n\r\n'
        body = head.encode() + file + f"\r\n--{border}--\r\n".encode()
        self._request("files/local", body, f"multipart/form-data; boundary={border}")

    def print(self) -> None:
        self._post("files/local/part.gcode", {"command": "select", "print": True})

    def select(self) -> None:
        self._post("files/local/part.gcode", {"command": "select", "print": False})

    def start(self) -> None:
        """Print what is selected."""
        self._post("job", {"command": "start"})

    @property
    def plugin_socket(self) -> Path:
        """Where the Printright plugin waits for an agent."""
        path = Path(self._folder.name) / "data" / "printright" / "lines.sock"
        self._until(path.exists, 30)
        return path

    def wait(self) -> None:
        """Until it is idle again."""
        self._until(lambda: self._get("job")["state"] == "Operational", 120)

    def _until(self, what: Any, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            with suppress(URLError, HTTPException, OSError):
                if what():
                    return
            time.sleep(0.1)
        raise TimeoutError((Path(self._folder.name) / "output.log").read_text()[-3000:])

    def _get(self, path: str) -> Any:
        return self._request(path, None, "application/json")

    def _post(self, path: str, body: dict[str, object]) -> Any:
        return self._request(path, json.dumps(body).encode(), "application/json")

    def _request(self, path: str, body: bytes | None, kind: str) -> Any:
        headers = {"X-Api-Key": self._key, "Content-Type": kind}
        with urllib.request.urlopen(urllib.request.Request(f"{self._url}/{path}", body, headers), timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None
