"""Slicer settings inside a 3MF that would run programs on whoever slices it: refused, whatever they say.

PrusaSlicer and its relatives keep `post_process` in Metadata/*.config (lines, JSON or XML), Cura
`post_processing_scripts` in Cura/*.cfg.
"""

from __future__ import annotations

import json
import re
from typing import Any

from printright.errors import ModelRefused
from printright.vault.secure_content.strict_xml import parse_small

SUFFIXES = (".config", ".cfg", ".ini", ".json", ".conf", ".txt", ".xml", ".toml", ".yaml", ".yml")
MAX_SETTINGS_BYTES = 16 << 20
_KEYS = ("post_process", "post_processing_scripts", "post_process_script", "post_processing")
_LINE = re.compile(
    r"^[ \t;#]*[\"']?(" + "|".join(_KEYS) + r")[\"']?[ \t]*[=:][ \t]*(.*?)[ \t]*$", re.IGNORECASE | re.MULTILINE
)
_NOTHING = {"", '""', "''", "[]", '[""]', "nil", "null", "{}"}


def refuse_scripts(name: str, data: bytes) -> None:
    """Raises ModelRefused where these settings name a script, or cannot be read."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ModelRefused(f"{name} is not in UTF-8") from None
    start = text.lstrip()[:1]
    if start == "<":
        _refuse_xml(name, data)
    document = _json(text) if start in ("{", "[") else None
    if document is not None:
        _walk(name, document, depth=0)
    elif start == "{":
        raise ModelRefused(f"{name} is no valid JSON")
    else:
        for _, value in _LINE.findall(text):
            if value.rstrip(",").rstrip() not in _NOTHING:
                raise _found(name)


def _json(text: str) -> Any:
    """The document, or None: settings in lines begin with a bracket too."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _walk(name: str, value: Any, depth: int) -> None:
    if depth > 64:
        raise ModelRefused(f"{name} is nested more than 64 deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.lower() in _KEYS and not _empty(inner):
                raise _found(name)
            _walk(name, inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _walk(name, inner, depth + 1)


def _empty(value: Any) -> bool:
    return not value or (isinstance(value, list) and not any(value))


def _refuse_xml(name: str, data: bytes) -> None:
    root = parse_small(name, data, None)
    for element in root.iter():
        for key, value in element.attrib.items():
            named = key.lower() in _KEYS and value.strip() not in _NOTHING
            # <metadata key="post_process" value="..."/>
            pointed = value.lower() in _KEYS and any(
                other.strip() not in _NOTHING
                for other in (*(v for k, v in element.attrib.items() if k != key), element.text or "")
            )
            if named or pointed:
                raise _found(name)
        if element.tag.rpartition("}")[2].lower() in _KEYS and ((element.text or "").strip() or len(element)):
            raise _found(name)


def _found(name: str) -> ModelRefused:
    return ModelRefused(
        f"{name} has a post-processing script, a program that slicing it would run",
        hint="remove it in the slicer and save the project again",
    )
