"""The agent's door, on real sockets: who gets in, for what, and what a browser, a guesser or a sluggard gets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from printright.units import api
from printright.units.door import MAX_BODY_BYTES, MAX_FAILURES, ON_BEHALF_OF, OPERATOR, Door, DoorSettings
from printright.units.operators import Operators, Permission

ROUTES = {(("GET", f"/{each}")): each for each in Permission} | {("POST", "/print"): Permission.PRINT}


@dataclass
class House:
    """A door with one path for each permission; each answers with the name that would be written down."""

    operators: Operators
    socket: Path
    url: str
    client: aiohttp.ClientSession

    def token(self, name: str, *permissions: str) -> str:
        token = self.operators.add(name, frozenset(map(Permission, permissions)), uid=None, with_token=True)
        assert token is not None
        return token

    async def ask(self, path: str, token: str = "", *, method: str = "GET", **options: Any) -> tuple[int, Any]:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        async with self.client.request(method, self.url + path, headers=headers, **options) as response:
            return response.status, await response.json()


async def name_of(request: web.Request) -> web.Response:
    return web.json_response({"name": request[OPERATOR]})


@asynccontextmanager
async def house(folder: Path, **settings: Any) -> AsyncIterator[House]:
    operators = Operators(folder / "operators.toml")
    where = DoorSettings(folder / "s", port=0, **{"body_s": 0.2, "first_request_s": 0.2, **settings})
    door = Door(operators, ROUTES, where)
    app = web.Application(middlewares=[door.middleware], client_max_size=MAX_BODY_BYTES)
    for method, path in [*ROUTES, ("GET", "/forgotten")]:
        app.router.add_route(method, path, name_of)
    async with door.serving(app) as port, aiohttp.ClientSession() as client:
        yield House(operators, folder / "s", f"http://127.0.0.1:{port}", client)


@pytest.mark.parametrize("held", Permission)
async def test_each_permission_opens_its_own_paths_only(tmp_path: Path, held: Permission) -> None:
    # Red without `operator.may` in `Door.let_in`.
    async with house(tmp_path) as door:
        token = door.token("anna", held)
        for wanted in Permission:
            status, body = await door.ask(f"/{wanted}", token)
            allowed = held in (wanted, Permission.ADMIN)
            assert status == (200 if allowed else 403), (wanted, body)
        assert (await door.ask("/forgotten", token))[0] == 404, "a route without a permission lets nobody in"
        assert (await door.ask("/nothing", token))[0] == 404


def test_every_route_of_the_agent_has_its_permission() -> None:
    needed = {path: permission for path, (permission, _) in api.ROUTES.items()}
    acting = {
        "/v1/jobs",
        "/v1/licenses",
        "/v1/pause",
        "/v1/resume",
        "/v1/cancel",
        "/v1/reset",
        "/v1/say",
        "/v1/bed",
        "/v1/load",
    }
    posts = {path for method, path in needed if method == "POST"}
    assert posts == acting | {"/v1/halt"}
    assert all(needed["POST", path] is not Permission.VIEW for path in acting)
    assert needed["POST", "/v1/halt"] is Permission.VIEW, "whoever sees it burn may stop it"
    assert needed["GET", "/v1/jobs/{job}/labels"] is Permission.PRINT, "labels hold the parts' secret codes"
    assert all(hasattr(api.AgentApi, name) for _, name in api.ROUTES.values())


async def test_who_is_removed_is_out_at_the_next_request(tmp_path: Path) -> None:
    async with house(tmp_path) as door:
        token = door.token("anna", "view")
        assert await door.ask("/view", token) == (200, {"name": "anna"})
        door.operators.remove("anna")
        status, body = await door.ask("/view", token)
        assert (status, body["exit_code"]) == (401, 5)
        assert token not in json.dumps(body)


async def test_wrong_tokens_are_told_less_and_less_and_a_right_one_still_opens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Red without `_failed` (no 429) and with a limit that counts before it looks (a guesser would lock out the halt).
    async with house(tmp_path) as door:
        token = door.token("anna", "view")
        tries = [token[:-1], token + "x", "", "prt_canary"] * 4
        found = [(await door.ask("/view", each))[0] for each in tries]
        assert found == [401] * MAX_FAILURES + [429] * (len(tries) - MAX_FAILURES)
        assert (await door.ask("/view", token))[0] == 200
        assert (await door.ask("/view", headers={"Authorization": "Basic YTpi"}))[0] == 429
        assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 1
        assert "prt_" not in caplog.text


async def test_malformed_requests_leave_no_token_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with house(tmp_path) as door:
        port = int(door.url.rsplit(":", 1)[1])
        for line in (b"Authorization: Bearer prt_canary\x00", b"Authorization : Bearer prt_canary", b"prt_canary"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /view HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n")
            assert b" 400 " in await reader.readline()
            writer.close()
            await writer.wait_closed()
    assert "prt_canary" not in caplog.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 403),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 403),
        ({"Host": "shop.example"}, 200),
        ({"Host": "LOCALHOST:1234"}, 200),
        ({}, 200),
    ],
)
async def test_pages_in_a_browser_do_not_get_in(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    # Red without `_no_browser`: DNS rebinding gives another Host, scripts an Origin, forms another content type.
    async with house(tmp_path, hosts=("shop.example",)) as door:
        token = door.token("anna", "print")
        headers = {"Content-Type": "application/json", **headers}
        assert (await door.ask("/print", token, method="POST", data=b"{}", headers=headers))[0] == status


async def test_large_slow_and_silent_requests_end(tmp_path: Path) -> None:
    # Red without the time-out around `request.read`, without `client_max_size`, without `_close_silent`.
    async with house(tmp_path) as door:
        token = door.token("anna", "print")
        large: dict[str, Any] = {
            "method": "POST",
            "data": io.BytesIO(bytes(MAX_BODY_BYTES + 1)),
            "headers": {"Content-Type": "application/json"},
        }
        assert (await door.ask("/print", token, **large))[0] == 413
        port = int(door.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /print HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        writer.write(head.encode() + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
        async with asyncio.timeout(5):
            assert b" 408 " in await reader.readline()
        writer.close()
        reader, silent = await asyncio.open_connection("127.0.0.1", port)
        silent.write(b"GET /view HT")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        silent.close()


async def test_a_program_speaks_for_its_users_only_where_it_may(tmp_path: Path) -> None:
    # Red without the check of `delegate`, and where the name alone was written down: anna is not octoprint's anna.
    async with house(tmp_path) as door:
        plugin, anna = door.token("octoprint", "view", "delegate"), door.token("anna", "view")
        said = {ON_BEHALF_OF: "J%C3%BCrgen"}
        assert await door.ask("/view", plugin, headers=said) == (200, {"name": "octoprint/Jürgen"})
        assert await door.ask("/view", plugin, headers={ON_BEHALF_OF: "anna"}) == (200, {"name": "octoprint/anna"})
        assert await door.ask("/view", plugin) == (200, {"name": "octoprint"})
        assert (await door.ask("/print", plugin, headers=said))[0] == 403, "it may do no more than itself"
        assert (await door.ask("/view", anna, headers=said))[0] == 403
        for bad in ("", "%0A", "%FF", "x" * 65, "a%00b"):
            assert (await door.ask("/view", plugin, headers={ON_BEHALF_OF: bad}))[0] == 400, bad


async def test_the_owner_is_admin_at_the_socket_and_nobody_without_a_token_at_the_port(tmp_path: Path) -> None:
    async with house(tmp_path) as door:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(door.socket))) as local:
            async with local.get("http://localhost/admin") as response:
                assert response.status == 200
            door.operators.add("anna", frozenset({Permission.VIEW}), uid=os.getuid(), with_token=False)
            async with local.get("http://localhost/admin") as response:
                assert (response.status, await response.json()) == (200, {"name": "anna"})
            # A broken file keeps everybody out but the owner, who has to mend it.
            (tmp_path / "operators.toml").write_text("[anna]\npermissions = ['everything']\n")
            async with local.get("http://localhost/admin") as response:
                assert response.status == 200
        assert (await door.ask("/view"))[0] == 401
        status, body = await door.ask("/view", "prt_whatever")
        assert (status, body["exit_code"]) == (400, 2), "could not be read is not a wrong token"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
async def test_another_account_at_the_socket_is_who_its_uid_says(tmp_path: Path) -> None:
    # Red where the peer's account was not asked for: everybody who reaches the socket would be the owner.
    script = (
        "import http.client, socket, sys\nc = http.client.HTTPConnection('localhost')\n"
        "c.sock = socket.socket(socket.AF_UNIX)\nc.sock.connect(sys.argv[1])\nc.request('GET', sys.argv[2])\n"
        "r = c.getresponse()\nprint(r.status, r.read().decode())\n"
    )

    def as_account(uid: int, path: str) -> str:
        command = ["/usr/bin/env", "-i", os.path.realpath("/usr/bin/python3"), "-c", script, str(shared / "s"), path]
        return subprocess.run(command, user=uid, group=uid, capture_output=True, text=True, check=True).stdout

    if not Path("/usr/bin/python3").exists():
        pytest.skip(f"no interpreter that another account can run; ours is {sys.executable}")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder)
        shared.chmod(0o755)
        async with house(shared, shared=True) as door:
            door.operators.add("bert", frozenset({Permission.VIEW}), uid=12_345, with_token=False)
            assert await asyncio.to_thread(as_account, 12_345, "/view") == '200 {"name": "bert"}\n'
            assert (await asyncio.to_thread(as_account, 12_345, "/print")).startswith("403 ")
            assert (await asyncio.to_thread(as_account, 12_346, "/view")).startswith("401 ")
