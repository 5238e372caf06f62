"""The agent's API for its operators and their programs: JSON over HTTP, on a Unix socket and, if wanted, on loopback.

Who may do what stands in `ROUTES`, who is who in `operators`, and how it is found out in `door`.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from typing import Any

from aiohttp import web

from printright.domain.ids import JobId, bytes32
from printright.domain.license import License
from printright.errors import BadValue, Misuse
from printright.units.agent import Agent
from printright.units.door import KNOWN_AS, MAX_BODY_BYTES, OPERATOR, Door, DoorSettings
from printright.units.journal import JobEntry
from printright.units.offers import Offer, Offers
from printright.units.operator import JobView, Word
from printright.units.operators import Operators, Permission
from printright.units.order import Order
from printright.units.report import Reporter
from printright.units.shelf import LicenseShelf
from printright.units.tending import Keeper

WATCH_INTERVAL_S = 0.2
# A label holds the part's secret code: whoever may print may have it. Everybody may stop a machine that burns.
ROUTES: dict[tuple[str, str], tuple[Permission, str]] = {
    ("GET", "/v1/status"): (Permission.VIEW, "status"),
    ("GET", "/v1/offers"): (Permission.VIEW, "offers"),
    ("POST", "/v1/licenses"): (Permission.PRINT, "add_license"),
    ("GET", "/v1/jobs"): (Permission.VIEW, "jobs"),
    ("POST", "/v1/jobs"): (Permission.PRINT, "order"),
    ("GET", "/v1/jobs/{job}"): (Permission.VIEW, "job"),
    ("GET", "/v1/jobs/{job}/watch"): (Permission.VIEW, "watch"),
    ("GET", "/v1/jobs/{job}/labels"): (Permission.PRINT, "labels"),
    ("GET", "/v1/orders/{key}"): (Permission.VIEW, "ordered"),
    ("POST", "/v1/pause"): (Permission.CONTROL, "pause"),
    ("POST", "/v1/resume"): (Permission.CONTROL, "resume"),
    ("POST", "/v1/cancel"): (Permission.CONTROL, "cancel"),
    ("POST", "/v1/halt"): (Permission.VIEW, "halt"),
    ("POST", "/v1/reset"): (Permission.CONTROL, "reset"),
    ("POST", "/v1/say"): (Permission.CONTROL, "say"),
    ("POST", "/v1/bed"): (Permission.CONTROL, "bed"),
    ("POST", "/v1/load"): (Permission.CONTROL, "load"),
    ("GET", "/v1/acts"): (Permission.VIEW, "acts"),
}


class AgentApi:
    """Routes under /v1; errors are `{"error", "hint", "exit_code"}` with status 4xx."""

    def __init__(
        self, agent: Agent, keeper: Keeper, offers: Offers, reporter: Reporter, licenses: LicenseShelf
    ) -> None:
        self._agent, self._keeper = agent, keeper
        self._offers, self._reporter, self._licenses = offers, reporter, licenses

    def application(self, door: Door) -> web.Application:
        app = web.Application(middlewares=[door.middleware], client_max_size=MAX_BODY_BYTES)
        for (method, path), (_, name) in ROUTES.items():
            app.router.add_route(method, path, getattr(self, name))
        return app

    async def status(self, request: web.Request) -> web.Response:
        view = await asyncio.to_thread(self._agent.view)
        bed, loaded = await asyncio.to_thread(lambda: (self._agent.bed(), self._agent.loaded()))
        machine = self._agent.driver.status()
        return web.json_response(
            {
                "unit": self._agent.unit,
                "machine": {
                    "state": machine.state.name.lower(),
                    "trouble": self._keeper.trouble,
                    "halts_at_once": machine.halts_at_once,
                    "nozzle_c": machine.nozzle_c,
                    "nozzle_target_c": machine.nozzle_target_c,
                    "bed_c": machine.bed_c,
                    "bed_target_c": machine.bed_target_c,
                },
                "halted": {"reason": self._agent.halts.reason, "on_ledger": self._agent.halts.on_ledger},
                "fit": asdict(await asyncio.to_thread(self._agent.machine)),
                "bed": {**asdict(bed), "clear": await asyncio.to_thread(self._agent.bed_is_clear)},
                "loaded": asdict(loaded),
                "job": view_json(view) if view else None,
                "you": {"name": request[OPERATOR], "permissions": sorted(request[KNOWN_AS].permissions)},
            }
        )

    async def offers(self, request: web.Request) -> web.Response:
        del request
        return web.json_response([offer_json(offer) for offer in await self._offers.all()])

    async def add_license(self, request: web.Request) -> web.Response:
        license = License.from_json(await _body(request))
        return web.json_response(offer_json(await self._offers.add(license)))

    async def jobs(self, request: web.Request) -> web.Response:
        del request
        entries = await asyncio.to_thread(self._agent.jobs)
        return web.json_response([entry_json(entry) for entry in entries])

    async def order(self, request: web.Request) -> web.Response:
        order = Order.from_json(await _body(request), request[OPERATOR])
        return web.json_response(entry_json(await self._agent.order(order)), status=201)

    async def ordered(self, request: web.Request) -> web.Response:
        """The job that was ordered under a key: for whoever did not get the answer to the order."""
        view = await asyncio.to_thread(self._agent.ordered, request.match_info["key"])
        if view is None:
            raise web.HTTPNotFound
        return web.json_response(view_json(view))

    async def job(self, request: web.Request) -> web.Response:
        return web.json_response(view_json(await self._view(request)))

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """One JSON line for each change, until the job is closed or waits for the operator."""
        view = await self._view(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        last = None
        while True:
            line = json.dumps(view_json(view))
            if line != last:
                await response.write(line.encode() + b"\n")
                last = line
            if not view.entry.is_open:
                break
            await asyncio.sleep(WATCH_INTERVAL_S)
            view = await self._view(request)
        await response.write_eof()
        return response

    async def labels(self, request: web.Request) -> web.Response:
        entry = (await self._view(request)).entry
        labels = self._reporter.labels(entry, self._licenses.get(entry.license))
        return web.json_response(
            [{"part": label.part.hex(), "serial": label.serial, "label": label.text()} for label in labels]
        )

    async def pause(self, request: web.Request) -> web.Response:
        await self._agent.pause(request[OPERATOR])
        return web.json_response({})

    async def resume(self, request: web.Request) -> web.Response:
        await self._agent.resume(request[OPERATOR])
        return web.json_response({})

    async def cancel(self, request: web.Request) -> web.Response:
        body = await _body(request) if request.can_read_body else {}
        job = JobId(bytes32(str(body["job"]), "job id")) if "job" in body else None
        await self._agent.cancel(request[OPERATOR], job)
        return web.json_response({})

    async def halt(self, request: web.Request) -> web.Response:
        await self._agent.halt(operator=request[OPERATOR])
        return web.json_response({})

    async def reset(self, request: web.Request) -> web.Response:
        await self._agent.reset(request[OPERATOR])
        return web.json_response({})

    async def say(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            word = Word(str(body["word"]))
            failed = tuple(int(index) for index in body.get("failed", []))
        except (KeyError, TypeError, ValueError) as error:
            raise BadValue(f"a word is continue or finish: {error}") from None
        self._agent.say(word, failed, request[OPERATOR])
        return web.json_response({})

    async def bed(self, request: web.Request) -> web.Response:
        if (await _body(request)) != {"clear": True}:
            raise BadValue('the word about the bed is {"clear": true}')
        self._agent.bed_cleared(request[OPERATOR])
        return web.json_response({})

    async def load(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if set(body) - {"material", "color"}:
            raise BadValue("what is loaded is a material and a color")
        loaded = self._agent.load(str(body.get("material") or ""), str(body.get("color") or ""), request[OPERATOR])
        return web.json_response(asdict(loaded))

    async def acts(self, request: web.Request) -> web.Response:
        del request
        rows = await asyncio.to_thread(self._agent.acts)
        return web.json_response([{**asdict(act), "job": job.hex()} for act, job in rows])

    async def _view(self, request: web.Request) -> JobView:
        text = request.match_info["job"]
        job = None if text == "current" else JobId(bytes32(text, "job id"))
        view = await asyncio.to_thread(self._agent.view, job)
        if view is None:
            raise Misuse(f"this unit has no job {text}" if job else "the unit has no open job")
        return view


def offer_json(offer: Offer) -> dict[str, Any]:
    """`printed` is the slicer's estimate in words; its numbers and picture are in the license's document."""
    return {
        "license": offer.license.to_json(),
        "available": offer.available,
        "note": offer.note,
        "printed": offer.license.document.estimate.describe(),
        "parts_per_run": offer.parts_per_run,
    }


def entry_json(entry: JobEntry) -> dict[str, Any]:
    return {
        "job": entry.job.hex(),
        "license": entry.license.hex(),
        "sequence": entry.sequence,
        "quantity": entry.quantity,
        "stage": str(entry.stage),
        "outcomes": [str(outcome) for outcome in entry.outcomes],
        "runs": entry.runs,
        "runs_ended": entry.runs_ended,
        "note": entry.note,
        "ordered_at_s": entry.ordered_at_s,
        "failure": entry.failure,
        "spent": entry.is_spent,
        "operator": entry.operator,
        "reference": entry.reference,
        "retry_of": entry.retry_of.hex(),
    }


def view_json(view: JobView) -> dict[str, Any]:
    return {
        **entry_json(view.entry),
        "title": view.title,
        "fraction": round(view.fraction, 4),
        "eta_s": None if view.eta_s is None else round(view.eta_s, 1),
        "lines_sent": view.lines_sent,
    }


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (ValueError, UnicodeDecodeError):
        raise BadValue("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadValue("the body is not a JSON object")
    return body


def serve_api(api: AgentApi, operators: Operators, settings: DoorSettings) -> AbstractAsyncContextManager[int | None]:
    """Serve while the context lasts, which gets the port, if there is one. Raises BadSettings for one that is taken."""
    door = Door(operators, {route: needed for route, (needed, _) in ROUTES.items()}, settings)
    return door.serving(api.application(door))
