"""A custodian's process killed at every point between its decision and its answer; then asked again."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from custodian_process import POINTS
from custody_scene import CUSTODIANS, Scene, ask, logged, post, start_job

from printright.domain.ids import Address
from printright.domain.release import share_info
from printright.vault.committee import AS_PUBLISHED
from printright.vault.custody import open_share

pytestmark = pytest.mark.needs("anvil")
A = CUSTODIANS[0]
PROCESS = Path(__file__).with_name("custodian_process.py")


@contextmanager
def custodian(folder: Path, address: Address, point: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    process = subprocess.Popen([sys.executable, str(PROCESS), str(folder), address, point], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.parametrize("point", POINTS)
async def test_killed_on_the_way_it_answers_again_with_the_same_share(
    custody: Scene, tmp_path: Path, point: str
) -> None:
    # An answer that got out is in the log. Red at "before write" to "before sync" where the log is written after the
    # answer is sent, and at "half a write" without the healing of a torn line.
    (tmp_path / "network.toml").write_text(custody.network.dump())
    await start_job(custody, tmp_path)
    with custodian(tmp_path, A, point) as (url, process):
        try:
            status, first, _ = await post(url, ask(custody, A))
        except (aiohttp.ClientError, OSError, ValueError):
            status, first = 0, {}
        assert process.wait(timeout=20) == -signal.SIGKILL
    if status:
        assert (point, status) == ("after answer", 200)
    written = point in ("before sync", "after sync", "half an answer", "after answer")
    with custodian(tmp_path, A, "never") as (url, _):
        status, second, _ = await post(url, ask(custody, A))
        assert (status, second["repeat"]) == (200, written)
    info = share_info(custody.job_id(1), custody.manifest.digest, AS_PUBLISHED, 1)
    expected = open_share(custody.manifest, custody.custodian_keys[A]).to_bytes()
    for answer in (first, second):
        if answer:
            assert custody.unit_unsealing.open(base64.b64decode(answer["sealed"]), info) == expected
    assert [entry.repeat for entry in logged(tmp_path, A)] == ([False, True] if written else [False])


def test_two_processes_for_one_custodian_do_not_share_a_log(custody: Scene, tmp_path: Path) -> None:
    (tmp_path / "network.toml").write_text(custody.network.dump())
    with custodian(tmp_path, A, "never"):
        second = subprocess.run(
            [sys.executable, str(PROCESS), str(tmp_path), A, "never"], capture_output=True, timeout=60, check=False
        )
    assert second.returncode == 1
    assert b"AlreadyRunning" in second.stderr
