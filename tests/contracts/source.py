"""What the contracts' source says of itself: its functions, and which reason strings each can end in.

Read from the compiler's own syntax tree, so that no new `assert` escapes the list of refusal tests.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import vyper.ast as vy
from tests.contracts.chain import FOLDER

MODULES = ("registry", "designs", "licenses", "parts", "anchors")


@dataclass
class Function:
    """One function of a module: its own reasons, and what it calls."""

    module: str
    name: str
    external: bool
    docstring: str
    reasons: set[str] = field(default_factory=set)
    calls: set[tuple[str, str]] = field(default_factory=set)


@functools.cache
def functions() -> dict[tuple[str, str], Function]:
    """Every function of every module, by (module, name)."""
    found = {}
    for module in (*MODULES, "printright"):
        tree = vy.parse_to_ast((FOLDER / f"{module}.vy").read_text())
        for node in tree.get_children(vy.FunctionDef):
            decorators = {d.id for d in node.decorator_list if hasattr(d, "id")}
            docs = node.get_children(vy.DocStr)
            doc = docs[0].value if docs else ""
            function = Function(module, node.name, "external" in decorators, doc)
            for assertion in node.get_descendants(vy.Assert):
                function.reasons.add(assertion.msg.value if assertion.msg is not None else "NO REASON")
            for raised in node.get_descendants(vy.Raise):
                function.reasons.add(raised.exc.value if raised.exc is not None else "NO REASON")
            for call in node.get_descendants(vy.Call):
                if isinstance(call.func, vy.Attribute) and isinstance(call.func.value, vy.Name):
                    owner = call.func.value.id
                    function.calls.add((module if owner == "self" else owner, call.func.attr))
            found[module, node.name] = function
    return found


def reachable(module: str, name: str) -> set[str]:
    """Every reason string that a function or what it calls can end in."""
    seen: set[tuple[str, str]] = set()
    reasons: set[str] = set()
    stack = [(module, name)]
    while stack:
        at = stack.pop()
        if at in seen or at not in functions():
            continue
        seen.add(at)
        reasons |= functions()[at].reasons
        stack += functions()[at].calls
    return reasons


def refusals() -> set[tuple[str, str]]:
    """(external function, reason) for every pair that the source makes possible."""
    return {(f.name, reason) for f in functions().values() if f.external for reason in reachable(f.module, f.name)} | {
        ("__init__", reason) for reason in reachable("registry", "__init__")
    }
