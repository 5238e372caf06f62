"""Run the benchmarks and write `bench/results.json`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figure import Figure

SUITES = ("gas", "crypto", "release", "printing", "first_line", "ledger", "guard", "keys", "octoprint")


def main(chosen: list[str]) -> int:
    console = Console()
    table = Table("figure", "value", "unit", "peer", "peer value", "ratio", "target", "kept")
    figures: list[Figure] = []
    for suite in SUITES:
        if chosen and suite not in chosen:
            continue
        # No spinner: it would be measured too.
        console.print(f"measuring {suite} ...")
        figures += importlib.import_module(f"bench.{suite}").figures()
    for f in figures:
        cells = [f.peer_value, f.ratio]
        table.add_row(
            f.id,
            f"{f.value:,.4g}" if f.value < 10_000 else f"{f.value:,.0f}",
            f.unit,
            f.peer or "",
            *("" if cell is None else f"{cell:,.4g}" if cell < 10_000 else f"{cell:,.0f}" for cell in cells),
            f.target,
            "yes" if f.ok else "[bold red]NO",
        )
    console.print(table)
    results = Path(__file__).with_name("results.json")
    rows = {row["id"]: row for row in json.loads(results.read_text())} if results.exists() else {}
    rows.update({f.id: f.row() for f in figures})
    results.write_text(json.dumps([rows[id] for id in sorted(rows)], indent=1) + "\n")
    return 0 if all(f.ok for f in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
