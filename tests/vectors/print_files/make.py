"""Write the vectors beside this file: print files that are not plain text, each good or with one fault.

accepted-NAME   becomes `accepted.gcode`, comments and blank lines aside
refused-NAME    is refused; `outcomes.json` says with which words

The encoders are ours, written for this; PrusaSlicer's own files are read by `tests/e2e/units`, where they can be had.
Frozen: run this only to add vectors, and look at the difference.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import heatshrink2
from PIL import Image

FILE, GCODE, SLICER, PRINTER, PRINT, THUMBNAIL = range(6)
NONE, DEFLATE, HEATSHRINK_11, HEATSHRINK_12 = range(4)
PLAIN, MEATPACK, MEATPACK_COMMENTS = range(3)

TEXT = (
    b"; knob\nM73 P0 R5\nG28 ; home\nG21\nG90\nM82\nM117 Printing\n"
    b";TYPE:Perimeter X9\nG1 X10.5 Y-3 F3000\nG2 X20.5 Y-3 I5 J0 E.5\nG29 P1 X0 Y0 W50 H20 C\nG92 E0\nM486 AShape-Box\n"
    + b"".join(b"G1 X%d.%d Y%d E%d.%05d\n" % (at % 90, at % 10, at % 70, at // 90, at * 7) for at in range(400))
    + b"M84 X Y E\n"
)
PRINTER_SAYS = b"printer_model=MK4\nfilament_type=PETG\nnozzle_diameter=0.4\nlayer_height=0.2\nfilament used [g]=3.01\n"
PRINT_SAYS = b"filament used [g]=3.01\nestimated printing time (normal mode)=32m 6s\n"
ALPHABET = b"0123456789. \nGX"


def png(side: int = 16) -> bytes:
    saved = io.BytesIO()
    Image.new("RGB", (side, side), (200, 80, 20)).save(saved, "PNG")
    return saved.getvalue()


def meatpack(text: bytes, *, comments: bool, spaces: bool = True) -> bytes:
    """Packed as PrusaSlicer's library does: G lines without blanks, comment lines outside of the packing."""
    alphabet = ALPHABET if spaces else ALPHABET.replace(b" ", b"E")
    packed = bytearray(b"\xff\xff\xfb" + (b"" if spaces else b"\xff\xff\xf7"))
    on = True
    for line in text.splitlines(keepends=True):
        if line.startswith(b";"):
            if comments:
                packed += (b"\xff\xff\xfa" if on else b"") + line
                on = False
            continue
        line = line.partition(b";")[0].strip() + b"\n"
        if line[:1] == b"G":
            line = line.replace(b" ", b"")
        packed += b"" if on else b"\xff\xff\xfb"
        on = True
        for at in range(0, len(line), 2):
            pair = line[at : at + 2].ljust(2, b"\n")
            low, high = (alphabet.find(pair[place : place + 1]) for place in (0, 1))
            packed.append((high & 15) << 4 | low & 15)
            packed += pair[:1] if low < 0 else b""
            packed += pair[1:] if high < 0 else b""
    return bytes(packed) + b"\xff\xff\xf9"


def squeezed(content: bytes, compression: int) -> bytes:
    if compression == DEFLATE:
        return zlib.compress(content)
    if compression in (HEATSHRINK_11, HEATSHRINK_12):
        window = 11 if compression == HEATSHRINK_11 else 12
        return bytes(heatshrink2.compress(content, window_sz2=window, lookahead_sz2=4))
    return content


def block(
    kind: int,
    content: bytes,
    parameters: bytes = b"\0\0",
    compression: int = NONE,
    *,
    size: int | None = None,
    packed: bytes | None = None,
    packed_size: int | None = None,
    checksum: bool = True,
) -> bytes:
    packed = squeezed(content, compression) if packed is None else packed
    made = struct.pack("<HHI", kind, compression, len(content) if size is None else size)
    if compression:
        made += struct.pack("<I", len(packed) if packed_size is None else packed_size)
    made += parameters + packed
    return made + (struct.pack("<I", zlib.crc32(made)) if checksum else b"")


def gcode(content: bytes, encoding: int = PLAIN, compression: int = NONE, **lies: object) -> bytes:
    return block(GCODE, content, struct.pack("<H", encoding), compression, **lies)  # type: ignore[arg-type]


def thumbnail(content: bytes, form: int = 0) -> bytes:
    return block(THUMBNAIL, content, struct.pack("<HHH", form, 16, 16))


HEAD = struct.pack("<4sIH", b"GCDE", 1, 1)
PRODUCER = block(FILE, b"Producer=Printright\n")
PRINTERS, PRINTS = block(PRINTER, PRINTER_SAYS), block(PRINT, PRINT_SAYS)
SLICERS = block(SLICER, b"layer_height=0.2\n" * 20, compression=DEFLATE)
BEFORE = HEAD + PRODUCER + PRINTERS + thumbnail(png()) + PRINTS + SLICERS
HALF = TEXT.index(b"\nG1 X45.5") + 1
GOOD = BEFORE + gcode(TEXT)
UNMARKED = struct.pack("<4sIH", b"GCDE", 1, 0) + b"".join(
    block(kind, content, checksum=False)
    for kind, content in ((PRINTER, PRINTER_SAYS), (PRINT, PRINT_SAYS), (SLICER, b"a=b\n"), (GCODE, TEXT))
)

ACCEPTED = {
    "plain.bgcode": GOOD,
    "deflate.bgcode": BEFORE + gcode(TEXT, compression=DEFLATE),
    "heatshrink-11.bgcode": BEFORE + gcode(TEXT, compression=HEATSHRINK_11),
    "two-blocks.bgcode": BEFORE + gcode(TEXT[:HALF]) + gcode(TEXT[HALF:], compression=HEATSHRINK_12),
    "meatpack.bgcode": BEFORE + gcode(meatpack(TEXT, comments=False), MEATPACK),
    "meatpack-without-spaces.bgcode": BEFORE + gcode(meatpack(TEXT, comments=False, spaces=False), MEATPACK),
    "as-prusaslicer.bgcode": BEFORE + gcode(meatpack(TEXT, comments=True), MEATPACK_COMMENTS, HEATSHRINK_12),
    "without-checksums.bgcode": UNMARKED,
    "several-thumbnails.bgcode": HEAD
    + PRINTERS
    + thumbnail(b"qoif", 2)
    + thumbnail(png())
    + PRINTS
    + SLICERS
    + gcode(TEXT),
}

INSIDE, ORDER, KIND, SIZE = "ends inside of a block", "not in their order", "a kind that we do not know", "another size"
REFUSED = {
    "empty.bgcode": ("does not begin as binary", b""),
    "text.bgcode": ("does not begin as binary", TEXT),
    "magic.bgcode": ("does not begin as binary", b"GCDF" + GOOD[4:]),
    "version-2.bgcode": ("version 2", HEAD[:4] + b"\2" + GOOD[5:]),
    "checksum-kind.bgcode": ("unknown kind of checksum", GOOD[:8] + b"\2\0" + GOOD[10:]),
    "one-bit.bgcode": ("checksum that it says", GOOD[:-50] + bytes([GOOD[-50] ^ 1]) + GOOD[-49:]),
    "one-bit-of-a-header.bgcode": ("checksum that it says", GOOD[:14] + bytes([GOOD[14] ^ 1]) + GOOD[15:]),
    "cut-in-header.bgcode": (INSIDE, BEFORE + b"\1\0\0"),
    "cut-in-sizes.bgcode": (INSIDE, BEFORE + struct.pack("<HHI", GCODE, DEFLATE, 9) + b"\1"),
    "cut.bgcode": (INSIDE, GOOD[:-1]),
    "cut-in-the-middle.bgcode": (INSIDE, GOOD[: len(GOOD) // 2]),
    "trailing.bgcode": (INSIDE, GOOD + b"M500\n"),
    "trailing-zip.bgcode": (KIND, GOOD + b"PK\x03\x04 another file behind it"),
    "no-gcode.bgcode": ("it has no G-code", BEFORE),
    "gcode-first.bgcode": (ORDER, HEAD + gcode(TEXT) + PRINTERS),
    "metadata-twice.bgcode": (ORDER, HEAD + PRINTERS + PRINTERS + PRINTS + SLICERS + gcode(TEXT)),
    "metadata-behind.bgcode": (ORDER, GOOD + PRINTS),
    "unknown-block.bgcode": (KIND, BEFORE + block(6, b"x") + gcode(TEXT)),
    "unknown-compression.bgcode": (KIND, BEFORE + gcode(TEXT, PLAIN, 4, packed=TEXT)),
    "unknown-encoding.bgcode": ("unknown encoding", BEFORE + gcode(TEXT, 3)),
    "metadata-encoding.bgcode": ("unknown encoding", HEAD + block(PRINTER, b"a=b\n", b"\1\0") + gcode(TEXT)),
    "block-of-4-gigabytes.bgcode": ("more than 16777216 bytes", BEFORE + gcode(TEXT, size=0xFFFFFFFF)),
    "packed-of-4-gigabytes.bgcode": ("more than", BEFORE + gcode(TEXT, PLAIN, DEFLATE, packed_size=0xFFFFFFFF)),
    "deflate-larger.bgcode": (SIZE, BEFORE + gcode(TEXT, PLAIN, DEFLATE, size=len(TEXT) - 1)),
    "deflate-smaller.bgcode": (SIZE, BEFORE + gcode(TEXT, PLAIN, DEFLATE, size=len(TEXT) + 1)),
    "deflate-bomb.bgcode": (SIZE, BEFORE + gcode(b"", PLAIN, DEFLATE, size=99, packed=zlib.compress(bytes(1 << 24)))),
    "deflate-goes-on.bgcode": (SIZE, BEFORE + gcode(TEXT, PLAIN, DEFLATE, packed=zlib.compress(TEXT) + b"M500")),
    "deflate-nonsense.bgcode": ("no valid deflate", BEFORE + gcode(TEXT, PLAIN, DEFLATE, packed=b"nonsense")),
    "heatshrink-larger.bgcode": (SIZE, BEFORE + gcode(TEXT, PLAIN, HEATSHRINK_12, size=len(TEXT) - 1)),
    "heatshrink-nonsense.bgcode": (SIZE, BEFORE + gcode(TEXT, PLAIN, HEATSHRINK_12, packed=bytes(999))),
    "meatpack-cut.bgcode": ("inside of a character", BEFORE + gcode(b"\xff\xff\xfb\x11\x0f", MEATPACK)),
    "meatpack-cut-in-two.bgcode": ("inside of a character", BEFORE + gcode(b"\xff\xff\xfb\x11\xffY", MEATPACK)),
    "meatpack-cut-in-command.bgcode": ("inside of a command", BEFORE + gcode(b"\xff\xff\xfb\x11\xff\xff", MEATPACK)),
    "meatpack-unknown-command.bgcode": ("unknown command", BEFORE + gcode(b"\xff\xff\xfbG\xff\xff\x01", MEATPACK)),
}  # fmt: skip


def packaged(parts: dict[str, bytes]) -> bytes:
    """A project with its G-code, laid out as Bambu Studio and OrcaSlicer do."""
    saved = io.BytesIO()
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return saved.getvalue()


ORCA = (
    b"; HEADER_BLOCK_START\n; generated by OrcaSlicer 2.1.1\n; HEADER_BLOCK_END\n"
    + TEXT
    + (
        b"; filament used [g] = 3.01\n; estimated printing time (normal mode) = 32m 6s\n"
        b"; filament_type = PETG\n; nozzle_diameter = 0.4\n; layer_height = 0.2\n"
    )
)
PROJECT = {
    "[Content_Types].xml": b'<?xml version="1.0" encoding="UTF-8"?><Types/>',
    "_rels/.rels": b'<?xml version="1.0" encoding="UTF-8"?><Relationships/>',
    "3D/3dmodel.model": b'<?xml version="1.0" encoding="UTF-8"?><model/>',
    "Metadata/plate_1.png": png(),
    "Metadata/plate_1.gcode": ORCA,
    "Metadata/plate_1.gcode.md5": hashlib.md5(ORCA).hexdigest().upper().encode(),
    "Metadata/project_settings.config": b'{"layer_height": "0.2", "post_process": []}',
    "Metadata/slice_info.config": b'<?xml version="1.0" encoding="UTF-8"?><config><plate/></config>',
}


def without(*names: str) -> dict[str, bytes]:
    return {name: content for name, content in PROJECT.items() if name not in names}


SCRIPT = b'{"post_process": ["/usr/bin/curl attacker"]}'
ACCEPTED |= {
    "one-plate.gcode.3mf": packaged(PROJECT),
    "without-digest.gcode.3mf": packaged(without("Metadata/plate_1.gcode.md5")),
}
REFUSED |= {
    "text.gcode.3mf": ("no 3MF", TEXT),
    "cut.gcode.3mf": ("no 3MF", packaged(PROJECT)[:-30]),
    "trailing.gcode.3mf": ("follows the end", packaged(PROJECT) + b"M500\n"),
    "no-plate.gcode.3mf": ("no G-code in it", packaged(without("Metadata/plate_1.gcode"))),
    "two-plates.gcode.3mf": ("2 plates", packaged({**PROJECT, "Metadata/plate_2.gcode": ORCA})),
    "other-digest.gcode.3mf": ("its digest is of", packaged({**PROJECT, "Metadata/plate_1.gcode.md5": b"0" * 32})),
    "script.gcode.3mf": ("post-processing script", packaged({**PROJECT, "Metadata/project_settings.config": SCRIPT})),
    "archive-inside.gcode.3mf": ("archive inside", packaged({**PROJECT, "Metadata/plate_1.gcode": packaged(PROJECT)})),
    "path.gcode.3mf": ("not a name", packaged({**PROJECT, "../../plate_1.gcode": ORCA})),
    "bomb.gcode.3mf": (
        "bomb", packaged({**without("Metadata/plate_1.gcode.md5"), "Metadata/plate_1.gcode": bytes(1 << 23)})
    ),
    "entities.gcode.3mf": (
        "DTD|DOCTYPE|entit",
        packaged({**PROJECT, "Metadata/slice_info.config": b'<!DOCTYPE a [<!ENTITY b "c">]><config>&b;</config>'}),
    ),
}  # fmt: skip


def main() -> None:
    folder = Path(__file__).parent
    (folder / "accepted.gcode").write_bytes(TEXT)
    for name, content in ACCEPTED.items():
        (folder / f"accepted-{name}").write_bytes(content)
    for name, (_, content) in REFUSED.items():
        (folder / f"refused-{name}").write_bytes(content)
    outcomes = {f"refused-{name}": words for name, (words, _) in REFUSED.items()}
    (folder / "outcomes.json").write_text(json.dumps(outcomes, indent=1) + "\n")


if __name__ == "__main__":
    main()
