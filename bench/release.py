"""How long a unit waits for its key: 3-of-5 custodians, ledger check and log on disk included.

Seven processes: Anvil, five custodians, and this one as the unit, with its own keys and a connection kept open to each
custodian, as the agent has. Network finality is `single-node`, so that no waiting for blocks is in it. Each release
is a whole one: three signed requests, three looks at the ledger, three synced logs, three shares, one key.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "e2e" / "custody"))

import aiohttp
from custody_scene import CUSTODIANS, UNIT, Scene, scene, settings, start_job
from custody_vault import unsealing_key

from bench.figure import Figure, figure
from printright.domain.ids import Address
from printright.ledger.evm import open_ledger
from printright.ledger.network import Network
from printright.services.custodian_http import serve_custodian
from printright.services.release import collect_design_key

ROOT = Path(__file__).parent.parent
WARM_UP, RELEASES = 100, 1000


async def serve(address: Address, folder: Path) -> None:
    """One custodian's process."""
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    bound.add_done_callback(lambda port: print(port.result(), flush=True))
    async with open_ledger(Network.load(folder / "network.toml")) as ledger:
        await serve_custodian(settings(address, folder), ledger, unsealing_key(address), bound=bound)


async def releases(scene: Scene, urls: dict[Address, str]) -> list[float]:
    """The time of each release in milliseconds, after the warm-up."""
    times = []
    async with aiohttp.ClientSession() as session:
        for _ in range(WARM_UP + RELEASES):
            start = time.perf_counter()
            key = await collect_design_key(
                scene.manifest, scene.job(), urls, unit_key=UNIT, unsealing_key=scene.unit_unsealing, session=session
            )
            times.append((time.perf_counter() - start) * 1000)
            assert key == scene.design_key
    return sorted(times[WARM_UP:])


def figures() -> list[Figure]:
    """`release.p50_ms` and `release.p99_ms`."""
    with tempfile.TemporaryDirectory() as name, scene(Path(name)) as made:
        folder = Path(name)
        (folder / "network.toml").write_text(made.network.dump())
        asyncio.run(start_job(made, folder))
        processes = [
            subprocess.Popen([sys.executable, "-m", "bench.release", each, name], cwd=ROOT, stdout=subprocess.PIPE)
            for each in CUSTODIANS
        ]
        try:
            urls = {}
            for address, process in zip(CUSTODIANS, processes, strict=True):
                assert process.stdout is not None
                urls[address] = f"http://127.0.0.1:{json.loads(process.stdout.readline())}"
            times = asyncio.run(releases(made, urls))
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.communicate(timeout=20)
    return [
        figure("release.p50_ms", times[len(times) // 2], "ms", "<= 5"),
        figure("release.p99_ms", times[len(times) * 99 // 100], "ms", "<= 10"),
    ]


if __name__ == "__main__":
    asyncio.run(serve(Address(sys.argv[1]), Path(sys.argv[2])))
