"""Write the vectors beside this file: each a small print file with one fault, the outcome in its name.

The first line of a refused file is the rule that it breaks; the refused line is the last one. Frozen: run this only to
add vectors, and look at the difference.
"""

from pathlib import Path

GOOD = b"G21\nG90\nM82\nM104 S200\nG28\nG92 E0\nG1 Z0.2 F3000\nG1 X10 Y10 E0.5 F1200 ; perimeter\n"

LIST = b"the command is not on the allow-list"
WORD = b"not a command word"
PARAMETER = b"a parameter that the command may not have"
BYTE = b"a byte that is not printable ASCII"

REFUSED = {
    # what the firmware must never be told by a file
    **{
        f"sd-{name}": (LIST, line)
        for name, line in {
            "list": b"M20",
            "select": b"M23 secret.gco",
            "start": b"M24",
            "pause": b"M25",
            "write": b"M28 part.gco",
            "write-end": b"M29",
            "delete": b"M30 part.gco",
            "run": b"M32 P !part.gco#",
            "log": b"M928 log.gco",
        }.items()
    },
    **{f"eeprom-{number}": (LIST, b"M%d" % number) for number in range(500, 505)},
    "firmware-update": (LIST, b"M997"),
    "firmware-restart": (LIST, b"M999"),
    "emergency-stop": (LIST, b"M112"),
    "quick-stop": (LIST, b"M410"),
    "heat-wait-break": (LIST, b"M108"),
    "host-prompt": (LIST, b"M876 S1"),
    "host-action": (LIST, b"M118 A1 action:cancel"),
    "macro-define": (LIST, b"M810 G28|M500"),
    "macro-run": (LIST, b"M810"),
    "pin": (LIST, b"M42 P8 S255"),
    "servo": (LIST, b"M280 P0 S90"),
    "i2c": (LIST, b"M260 A99 B77"),
    "steps-per-mm": (LIST, b"M92 X8000"),
    "home-offset": (LIST, b"M206 X-100"),
    "probe-offset": (LIST, b"M851 Z-5"),
    "pid": (LIST, b"M301 P1 I0 D0"),
    "cold-extrusion": (LIST, b"M302 P1"),
    "motor-current": (LIST, b"M906 X3000"),
    "inches": (LIST, b"G20"),
    "workspace": (LIST, b"G54"),
    "machine-coordinates": (LIST, b"G53"),
    "bezier": (LIST, b"G5 X1 Y1 I0 J0 P0 Q0"),
    "line-number-reset": (LIST, b"M110 N5"),
    "temperature-report": (LIST, b"M155 S0"),
    # tricks with the form of a line
    "line-number": (LIST, b"N5 M500*24"),
    "checksum": (b"parameter X is not a plain decimal number", b"G1 X10*99"),
    "lower-case": (WORD, b"m500"),
    "lower-case-parameter": (PARAMETER, b"G1 x10"),
    "leading-zero": (WORD, b"M0500"),
    "subcode": (WORD, b"G92.1"),
    "no-blank": (WORD, b"G1X10"),
    "split-word": (WORD, b"M 500"),
    "host-command": (WORD, b"@pause"),
    "percent": (WORD, b"%"),
    "two-commands": (PARAMETER, b"G1 X10 M500"),
    "two-commands-carriage-return": (BYTE, b"G1 X10\rM500"),
    "parenthesis": (PARAMETER, b"G1 X10 (comment)"),
    "quoted": (PARAMETER, b'M0 "hello"'),
    "unicode-digit": (BYTE, "G1 X１0".encode()),
    "unicode-space": (BYTE, "G1\u00a0X10".encode()),
    "eight-bit": (BYTE, b"G1 X10\xff"),
    "nul": (BYTE, b"G1 X10\x00"),
    "escape": (BYTE, b"\x1b[2JG1 X10"),
    "backspace": (BYTE, b"G1 X10\x08\x08\x08M500"),
    "too-long": (b"a command longer than 80 bytes", b"G1 " + b" ".join(b"%c1.000000" % c for c in b"XYZEXYZEXYZE")),
    "text-markup": (b"a text with characters or words", b"M117 <img src=x onerror=alert(1)>"),
    "text-template": (b"a text with characters or words", b"M117 ${{7*7}}"),
    "text-command": (b"a text with characters or words", b"M117 done M110 N0"),
    # numbers
    "exponent": (b"parameter X is not a plain decimal number", b"G1 X1e1"),
    "hexadecimal": (b"parameter X is not a plain decimal number", b"G1 X0x10"),
    "not-a-number": (b"parameter X is not a plain decimal number", b"G1 Xnan"),
    "infinity": (b"parameter X is not a plain decimal number", b"G1 Xinf"),
    "plus": (b"parameter X is not a plain decimal number", b"G1 X+10"),
    "two-points": (b"parameter X is not a plain decimal number", b"G1 X1.2.3"),
    "no-number": (b"parameter X is not a plain decimal number", b"G1 X"),
    "huge-number": (b"parameter X is not a plain decimal number", b"G1 X99999999999"),
    "fractional-tool": (b"parameter T is not a plain integer", b"M104 S200 T0.5"),
    "parameter-twice": (b"parameter X twice", b"G1 X10 X300"),
    "unknown-parameter": (PARAMETER, b"M104 S200 Q1"),
    "missing-parameter": (b"the command needs parameter S", b"M104"),
    "reset-all-axes": (b"the command needs parameter E", b"G92"),
    # bounds
    "nozzle-too-hot": (b"parameter S is not between 0 and 290", b"M104 S291"),
    "nozzle-too-hot-wait": (b"parameter R is not between 0 and 290", b"M109 R999"),
    "nozzle-negative": (b"parameter S is not between 0 and 290", b"M104 S-1"),
    "bed-too-hot": (b"parameter S is not between 0 and 110", b"M140 S110.5"),
    "chamber-absent": (b"parameter S is not between 0 and 0", b"M141 S60"),
    "tool-absent": (LIST, b"T1"),
    "heater-tool-absent": (b"parameter T is not between 0 and 0", b"M104 S200 T1"),
    "speed-limit": (b"parameter X is not between 0 and 1000", b"M203 X5000"),
    "endstops-off": (b"parameter S is not between 1 and 1", b"M211 S0"),
    "runout-sensor-off": (b"parameter S is not between 1 and 1", b"M412 S0"),
    "power-loss-writing": (b"parameter S is not between 0 and 0", b"M413 S1"),
    "volumetric": (b"parameter D is not between 0 and 0", b"M200 D1"),
    "mesh-save": (PARAMETER, b"G29 S1"),
    "shift-axis": (PARAMETER, b"G92 X-100 E0"),
    "outside-x": (b"X is outside the build volume", b"G1 X260"),
    "outside-y": (b"Y is outside the build volume", b"G0 Y-20 F6000"),
    "below-bed": (b"Z is outside the build volume", b"G1 Z-0.1"),
    "above-top": (b"Z is outside the build volume", b"G1 Z216"),
    "outside-relative": (b"X is outside the build volume", b"G91\nG1 X100\nG1 X100\nG1 X100"),
    "outside-unhomed": (b"Z moves relatively from an unknown place", b"G28\nG91\nG1 Z30\nG1 Z30"),
    "outside-arc": (b"an arc leaves the build volume", b"G1 X2 Y100\nG2 X2 Y120 I0 J10 E1"),
    "arc-off-circle": (b"an arc does not end on its circle", b"G1 X100 Y100\nG2 X150 Y100 I5 J0"),
    "arc-no-center": (b"an arc has no radius", b"G1 X100 Y100\nG2 X150 Y100"),
    "arc-unknown-start": (b"an arc starts from an unknown place", b"G28\nG2 X10 Y0 I5 J0"),
    "extrude-too-much": (b"one move feeds more than 200 mm", b"G1 E500 F100"),
    "extrude-too-much-relative": (b"one move feeds more than 200 mm", b"M83\nG1 E-201"),
    "dwell-forever": (b"parameter S is not between 0 and 600", b"G4 S99999"),
    "line-of-4000-bytes": (b"a command longer than 80 bytes", b"G1 X" + b"1" * 4000),
}

ACCEPTED = {
    "plain": b"",
    "windows-line-ends": b"G1 X10 Y10\r\nM107\r\n",
    "comments-with-payloads": b"; M997\n;\xc3\xa9\xf0\x9f\x98\x80 \x1b[2J <script>\nG1 X10 ; M112\nM107;M500\n;"
    + b"A" * 50000
    + b"\n",
    "no-leading-digit": b"G1 X.5 Y-.25 E.00123\n",
    "tabs-and-blanks": b"  G1\tX10   Y20  \n",
    "relative": b"G91\nG1 Z5 E-2 F1800\nG1 X5\nG90\nG1 X0\n",
    "arc": b"G1 X100 Y100\nG2 X110 Y100 I5 J0 E1\nG3 X110 Y100 I10 J0\n",
    "arc-inside-half": b"G1 X2 Y100\nG3 X2 Y120 I0 J10 E1\n",
    "purge-line-beside-bed": b"G1 Y-3.0 F1000\nG1 X60.0 E9.0\n",
    "homing-one-axis": b"G28 X0 Y0\nG28 Z0\n",
    "text": b"M117 Printing layer 12 of 96, 40%\n",
    "limits": b"M201 X1250 Y1250 Z400 E5000\nM203 X180 Y180 Z12 E80\nM204 P1250 R1250 T1250\nM205 X8 Y8 Z0.4 E2\n",
    "last-line-without-newline": b"M84 X Y E",
    "queries-of-cura": b"M140 S60\nM105\nM190 S60\nM104 S200\nM105\nM109 S200\nM82 ;absolute extrusion mode\n",
    "progress": b"M73 P10 R120\nM73 Q0 S125\nM220 S100\nM221 S95\nM900 K0.05\nM106 S127.5\n",
}


def main() -> None:
    folder = Path(__file__).parent
    for name, (rule, lines) in REFUSED.items():
        (folder / f"refused-{name}.gcode").write_bytes(b"; rule: %b\n" % rule + GOOD + lines + b"\n")
    for name, lines in ACCEPTED.items():
        (folder / f"accepted-{name}.gcode").write_bytes(GOOD + lines)


if __name__ == "__main__":
    main()
