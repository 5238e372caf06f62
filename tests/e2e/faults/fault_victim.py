"""Forks one child for each `printright` command that a test sends it, armed with the shim: imports cost once.

    LD_PRELOAD=shim.so python fault_victim.py

Reads one JSON object a line: {"do": "run", "args": [...], "home": ..., "out": ..., "strike": {...} or null} answers
{"pid"}; {"do": "wait", "pid", "block"} answers {"status"}, null while it runs.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
from typing import Any

NOUNS = ("agent_process", "audit", "custodian", "design", "job", "ledger", "license", "queue", "store", "unit")
MODULES = ("ledger.evm", "ledger.pipeline", "services.publish", "services.licensing", "services.history")
MORE = (
    "services.custodian_http",
    "services.release",
    "vault.stores.http",
    "vault.package",
    "units.agent",
    "shop.foreman",
)


def child(request: dict[str, Any]) -> None:
    out = os.open(request["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, out), (2, out)):
        os.dup2(source, target)
    os.environ["PRINTRIGHT_HOME"] = request["home"]
    sys.argv = ["printright", *request["args"]]
    if request["strike"]:
        strike = {key: value.encode() if isinstance(value, str) else value for key, value in request["strike"].items()}
        ctypes.CDLL(None).shim_arm(
            os.path.realpath(request["home"]).encode(),
            strike["mode"],
            strike["phase"],
            ctypes.c_long(strike["at"]),
            strike["first"],
            strike["next"],
            strike["trace"],
        )
    from printright.cli.main import main

    main()


def main() -> None:
    for name in NOUNS:
        importlib.import_module(f"printright.cli.{name}")
    for name in (*MODULES, *MORE):
        importlib.import_module(f"printright.{name}")
    importlib.import_module("rich.progress")
    importlib.import_module("eth_keyfile.keyfile")
    # How long an agent waits before it tries again is not what these tests are about.
    importlib.import_module("printright.units.work").RETRY_S = (0.05, 0.1, 0.2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("{}", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "wait":
            pid, status = os.waitpid(request["pid"], 0 if request["block"] else os.WNOHANG)
            print(json.dumps({"status": os.waitstatus_to_exitcode(status) if pid else None}), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                child(request)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(json.dumps({"pid": pid}), flush=True)


if __name__ == "__main__":
    main()
