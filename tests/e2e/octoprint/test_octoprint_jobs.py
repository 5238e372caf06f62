"""Licensed jobs from OctoPrint's side: an operator without admin rights, and others with less or worse intentions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

from e2e.octoprint.conftest import gcode
from e2e.octoprint.job_scene import ESTIMATE, Shop, shop, wait_for
from e2e.octoprint.octoprint_server import PASSWORD, ROOT, Client, OctoPrint
from printright.units.drivers.simulator import FirmwareSettings, Simulator
from programs import program

pytestmark = pytest.mark.needs("octoprint")
PLUGIN = "/plugin/printright"
SOURCE = ROOT / "plugins" / "octoprint" / "octoprint_printright" / "__init__.py"


@pytest.fixture(scope="module")
def printer() -> Iterator[Simulator]:
    with Simulator(FirmwareSettings(time_scale=inf, keep_transcript=True)) as made:
        yield made


@pytest.fixture(scope="module")
def place(octoprint: OctoPrint, printer: Simulator) -> Iterator[Shop]:
    octoprint.connect(printer.port)
    with (
        tempfile.TemporaryDirectory(prefix="op-", dir="/tmp") as name,
        shop(Path(name), octoprint, gcode(800)) as made,
    ):
        agent = {"agent": str(made.unit.folder / "agent.sock")}
        said = octoprint.client("admin").post("/api/settings", {"plugins": {"printright": agent}})
        assert said.status == 200
        yield made
        octoprint.disconnect()


@pytest.fixture(scope="module")
def operator(octoprint: OctoPrint) -> Client:
    return octoprint.client("operator")


def status(client: Client) -> dict[str, Any]:
    answer = client.get(f"{PLUGIN}/status")
    assert answer.status == 200, answer
    return answer.data  # type: ignore[no-any-return]


def order(client: Client, license: Any, quantity: int = 1, **more: Any) -> Any:
    wanted = {"license": license.id.hex(), "quantity": quantity, "order_key": f"k{license.id.hex()[:20]}", **more}
    return client.post(f"{PLUGIN}/jobs", wanted)


def stage(client: Client, wanted: str) -> Any:
    return wait_for(lambda: (job := status(client)["job"]) and job["stage"] == wanted and job)


def ended(client: Client, job: str) -> Any:
    def look() -> Any:
        found = {each["job"]: each for each in client.get(f"{PLUGIN}/jobs").data["jobs"]}
        return found[job]["stage"] in ("finished", "refused") and found[job]

    return wait_for(look)


def test_an_operator_prints_two_copies(place: Shop, operator: Client, printer: Simulator) -> None:
    license = place.license("two", copies=3, allowance=1, price="4.50 EUR", estimate=ESTIMATE)
    (offer,) = [each for each in operator.get(f"{PLUGIN}/offers").data["offers"] if each["granted"] == 3]
    assert (offer["copies"], offer["material"], offer["price"], offer["time_s"]) == (3, "PLA", "4.50 EUR", 2_520)
    assert offer["picture"].startswith("data:image/png;base64,")
    began = order(operator, license, 2, bed_is_clear=True)
    assert began.status == 200, began
    assert order(operator, license, 2, bed_is_clear=True).data["job"] == began.data["job"], "one click, two jobs"
    asked = stage(operator, "waiting")
    assert "clear the bed" in asked["note"]
    assert operator.post(f"{PLUGIN}/say", {"word": "continue", "failed": []}).status == 200
    done = ended(operator, began.data["job"])
    assert (done["stage"], done["outcomes"]) == ("finished", ["good", "good"])
    parts = operator.get(f"{PLUGIN}/jobs/{done['job']}/parts").data["parts"]
    assert len({part["serial"] for part in parts}) == 2
    assert all(set(part) == {"part", "serial"} for part in parts), "a label's secret code is not for browsers"
    moves = [line for line in printer.firmware.transcript if line.startswith(b"G1 X")]
    assert len(moves) == 1_600
    counters = place.counters(license)
    assert (counters.available, counters.used) == (1, 2)
    # The agent wrote down who it was.
    acts = place.client.get("/v1/acts")
    assert any(act["operator"].endswith("/operator") for act in acts), acts


def test_whoever_has_not_the_permission_gets_nothing(octoprint: OctoPrint, place: Shop) -> None:
    """Every route of the plugin. Red for one without `@guarded`."""
    routes = re.findall(r'route\("([^"]+)", methods=\["(\w+)"\]\)\n(?:    @guarded\n)?    def', SOURCE.read_text())
    assert len(routes) == 9
    for client in (octoprint.client("user"), octoprint.client()):
        for path, method in routes:
            answer = client.request(method, PLUGIN + path.replace("<job>", "0" * 64), {} if method == "POST" else None)
            assert answer.status == 403, (client.user, method, path, answer)
    # Nor does a page of somebody else get anything with the operator's cookies.
    operator = octoprint.client("operator")
    for path, method in routes:
        if method == "POST":
            assert operator.request(method, PLUGIN + path, {}, csrf=False).status == 400


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("/jobs", b"not json", 400),
        ("/jobs", b"[1, 2]", 400),
        ("/jobs", b'{"license": 7, "quantity": 1, "order_key": "x"}', 400),
        ("/jobs", b'{"license": "../../etc", "quantity": 1, "order_key": "x"}', 400),
        ("/jobs", b'{"license": "%s", "quantity": true, "order_key": "x"}' % (b"0" * 64), 400),
        ("/jobs", b'{"license": "%s", "quantity": -1, "order_key": "x"}' % (b"0" * 64), 400),
        ("/jobs", b'{"license": "%s", "quantity": 1, "order_key": "x", "operator": "boss"}' % (b"0" * 64), 400),
        ("/jobs", b'{"license": "%s", "quantity": 1, "order_key": "x"}' % (b"0" * 64), 409),
        ("/say", b'{"word": "halt"}', 400),
        ("/say", b'{"word": "finish", "failed": ["0"]}', 400),
        ("/say", b'{"word": "finish"}', 409),
        ("/cancel", b'{"all": true}', 400),
        ("/jobs", b"{" + b" " * 5_000 + b"}", 413),
        # OctoPrint's own limit.
        ("/jobs", b"{" + b" " * 300_000 + b"}", 400),
    ],
)
def test_bad_bodies_are_refused(place: Shop, operator: Client, path: str, body: bytes, wanted: int) -> None:
    try:
        answer = operator.request("POST", PLUGIN + path, body)
    except ConnectionResetError:
        # OctoPrint refuses such a body while the rest of it is on its way, and closes.
        assert len(body) > 256 * 1024
        return
    assert answer.status == wanted, answer
    assert status(operator)["job"] is None


def test_a_job_canceled_in_octoprint_is_a_failed_run(place: Shop, operator: Client, octoprint: OctoPrint) -> None:
    license = place.license("cancel", copies=2, allowance=2)
    job = order(operator, license, 2, bed_is_clear=True).data["job"]
    stage(operator, "printing")
    wait_for(lambda: octoprint.state().startswith("Printing"))
    # The name that OctoPrint shows has no markup and no path in it.
    octoprint.api("POST", "job", {"command": "cancel"})
    asked = stage(operator, "waiting")
    assert "canceled in OctoPrint" in asked["note"]
    assert operator.post(f"{PLUGIN}/say", {"word": "finish", "failed": []}).status == 200
    assert ended(operator, job)["outcomes"] == ["failed", "failed"]
    assert place.counters(license).available == 2


def test_an_agent_killed_in_mid_print_counts_a_failed_run(place: Shop, operator: Client, octoprint: OctoPrint) -> None:
    license = place.license("killed", copies=2, allowance=2)
    job = order(operator, license, 1, bed_is_clear=True).data["job"]
    stage(operator, "printing")
    wait_for(lambda: octoprint.state().startswith("Printing"))
    place.kill_agent()
    assert operator.get(f"{PLUGIN}/status").status == 502
    wait_for(lambda: octoprint.state() == "Operational")
    place.run_agent()
    assert "cut off" in stage(operator, "waiting")["note"]
    operator.post(f"{PLUGIN}/say", {"word": "finish", "failed": []})
    assert ended(operator, job)["outcomes"] == ["failed"]
    assert place.counters(license).available == 2


@pytest.mark.needs("chromium")
@pytest.mark.needs("playwright")
def test_an_operator_prints_in_a_browser(place: Shop, octoprint: OctoPrint, tmp_path: Path) -> None:
    """Chromium, as somebody uses it. Pictures stay in PRINTRIGHT_PICTURES where that names a folder."""
    hostile = "<img src=x onerror=window.hacked=1><script>window.hacked=2</script>"
    place.license("browser", copies=5, allowance=1, price="7.20 EUR", estimate=ESTIMATE)
    pictures = os.environ.get("PRINTRIGHT_PICTURES")
    if not pictures:
        # It would not look well in the documentation.
        place.license("hostile", copies=1, title=hostile, material=hostile, price=hostile)
    folder = pictures or str(tmp_path)
    url = f"http://127.0.0.1:{octoprint.port}/"
    chromium, playwright = program("chromium"), program("playwright")
    assert chromium is not None
    assert playwright is not None
    steps = Path(__file__).with_name("browser_steps.py")
    ran = subprocess.run(
        [Path(playwright).with_name("python"), steps, chromium, url, "operator", PASSWORD, folder],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    saw = json.loads(ran.stdout)
    assert saw["errors"] == []
    assert saw["hacked"] == ""
    assert hostile in saw["titles"] or pictures
    assert not saw["settings_shown"]
    assert saw["paused"]
    assert "(licensed line)" in saw["terminal"]
    assert saw["result"] == "2 good, 0 failed"
    assert len(saw["serials"]) == 2
    assert all(serial.startswith("PR-") for serial in saw["serials"])
