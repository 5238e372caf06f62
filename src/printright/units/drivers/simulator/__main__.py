"""`python -m printright.units.drivers.simulator`: serve a printer; its terminal's name is the first line of output."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from math import inf
from pathlib import Path

from printright.units.drivers.simulator.faults import Faults
from printright.units.drivers.simulator.firmware import FirmwareSettings
from printright.units.drivers.simulator.terminal import Simulator


def main() -> int:
    parser = argparse.ArgumentParser(description="A Marlin printer on a pseudo-terminal.")
    parser.add_argument("--link", type=Path, help="make this name a link to the terminal")
    parser.add_argument("--time-scale", type=float, default=inf, help="how much faster than real (default: no time)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the faults")
    parser.add_argument("--faults", type=Faults.parse, default=Faults(), help="such as corrupt=0.01,reset_at=500")
    parser.add_argument("--plain-ok", action="store_true", help="answer ok without numbers")
    parser.add_argument("--status-socket", type=Path, help="answer every connection here with one line of JSON")
    options = parser.parse_args()
    settings = FirmwareSettings(time_scale=options.time_scale, numbered_ok=not options.plain_ok)
    simulator = Simulator(
        settings, options.faults, seed=options.seed, link=options.link, status_socket=options.status_socket
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: simulator.request_stop())
    print(simulator.port, flush=True)
    simulator.run()
    print(json.dumps(simulator.report()), flush=True)
    simulator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
