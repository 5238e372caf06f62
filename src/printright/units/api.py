"""The agent's door for its operator: JSON over HTTP on a Unix socket that only the operator's account can open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from printright.domain.ids import JobId, LicenseId, bytes32
from printright.domain.license import License
from printright.errors import BadValue, Misuse, PrintrightError
from printright.units.agent import Agent
from printright.units.journal import JobEntry
from printright.units.offers import Offer, Offers
from printright.units.operator import JobView, Word
from printright.units.report import Reporter
from printright.units.shelf import LicenseShelf

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
WATCH_INTERVAL_S = 0.2


class AgentApi:
    """Routes under /v1; errors are `{"error", "hint", "exit_code"}` with status 4xx."""

    def __init__(self, agent: Agent, offers: Offers, reporter: Reporter, licenses: LicenseShelf) -> None:
        self._agent, self._offers, self._reporter, self._licenses = agent, offers, reporter, licenses

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_errors], client_max_size=1 << 20)
        app.router.add_get("/v1/status", self.status)
        app.router.add_get("/v1/offers", self.offers)
        app.router.add_post("/v1/licenses", self.add_license)
        app.router.add_get("/v1/jobs", self.jobs)
        app.router.add_post("/v1/jobs", self.order)
        app.router.add_get("/v1/jobs/{job}", self.job)
        app.router.add_get("/v1/jobs/{job}/watch", self.watch)
        app.router.add_get("/v1/jobs/{job}/labels", self.labels)
        app.router.add_post("/v1/pause", self.pause)
        app.router.add_post("/v1/resume", self.resume)
        app.router.add_post("/v1/cancel", self.cancel)
        app.router.add_post("/v1/halt", self.halt)
        app.router.add_post("/v1/reset", self.reset)
        app.router.add_post("/v1/say", self.say)
        return app

    async def status(self, request: web.Request) -> web.Response:
        del request
        view = await asyncio.to_thread(self._agent.view)
        machine = self._agent.driver.status()
        return web.json_response(
            {
                "unit": self._agent.unit,
                "machine": {
                    "state": machine.state.name.lower(),
                    "nozzle_c": machine.nozzle_c,
                    "nozzle_target_c": machine.nozzle_target_c,
                    "bed_c": machine.bed_c,
                    "bed_target_c": machine.bed_target_c,
                },
                "halted": {"reason": self._agent.halts.reason, "on_ledger": self._agent.halts.on_ledger},
                "job": view_json(view) if view else None,
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
        body = await _body(request)
        try:
            license_id = LicenseId(bytes32(str(body["license"]), "license"))
            quantity, customer = int(body["quantity"]), str(body.get("customer", ""))
        except (KeyError, TypeError, ValueError) as error:
            raise BadValue(f"an order names license and quantity: {error}") from None
        entry = await self._agent.order(license_id, quantity, customer=customer, inspect=body.get("inspect") is True)
        return web.json_response(entry_json(entry), status=201)

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
        del request
        await self._agent.pause()
        return web.json_response({})

    async def resume(self, request: web.Request) -> web.Response:
        del request
        await self._agent.resume()
        return web.json_response({})

    async def cancel(self, request: web.Request) -> web.Response:
        del request
        await self._agent.cancel()
        return web.json_response({})

    async def halt(self, request: web.Request) -> web.Response:
        del request
        await self._agent.halt()
        return web.json_response({})

    async def reset(self, request: web.Request) -> web.Response:
        del request
        await self._agent.reset()
        return web.json_response({})

    async def say(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            word = Word(str(body["word"]))
            failed = tuple(int(index) for index in body.get("failed", []))
        except (KeyError, TypeError, ValueError) as error:
            raise BadValue(f"a word is continue or finish: {error}") from None
        self._agent.say(word, failed)
        return web.json_response({})

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


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except PrintrightError as error:
        body = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
        return web.json_response(body, status=400)


@asynccontextmanager
async def serve_api(api: AgentApi, socket: Path) -> AsyncIterator[None]:
    """Serve on `socket` (mode 0600) while the context lasts."""
    runner = web.AppRunner(api.application(), access_log=None)
    await runner.setup()
    try:
        socket.unlink(missing_ok=True)
        await web.UnixSite(runner, str(socket)).start()
        socket.chmod(0o600)
        yield
    finally:
        await runner.cleanup()
        socket.unlink(missing_ok=True)
