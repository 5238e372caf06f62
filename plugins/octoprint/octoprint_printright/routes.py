"""The routes of the tab, under /plugin/printright/: each asks for the permission, checks its input, asks the agent."""

from __future__ import annotations

import base64
import binascii
import functools
import re

import flask
from flask_login import current_user
from octoprint.access.permissions import Permissions

from .agent import AgentError

PERMISSION = "PLUGIN_PRINTRIGHT_PRINT"
MAX_BODY_BYTES = 4096
MAX_QUANTITY = 100_000
_ID = re.compile(r"[0-9a-f]{64}\Z")
_PNG = b"\x89PNG\r\n\x1a\n"


def allowed():
    permission = getattr(Permissions, PERMISSION, None)
    return permission is not None and permission.can()


def guarded(function):
    """403 without the permission; the agent's refusals as JSON with their hint."""

    @functools.wraps(function)
    def checked(*args, **kwargs):
        if not allowed():
            flask.abort(403)
        try:
            answer = flask.jsonify(function(*args, **kwargs))
        except BadRequest as error:
            answer = flask.make_response(flask.jsonify(error=str(error), hint=""), error.status)
        except AgentError as error:
            answer = flask.make_response(flask.jsonify(error=error.message, hint=error.hint), error.status)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    return checked


class BadRequest(Exception):
    def __init__(self, message, status=400):
        super().__init__(message)
        self.status = status


def body(**kinds):
    """The request's JSON object with exactly these fields (a `None` default makes one optional). Raises BadRequest."""
    request = flask.request
    if request.content_length is None or request.content_length > MAX_BODY_BYTES:
        raise BadRequest(f"a body has at most {MAX_BODY_BYTES} bytes", 413)
    data = request.get_json(silent=True)
    if not isinstance(data, dict) or not set(data) <= set(kinds):
        raise BadRequest(f"the body is a JSON object with {', '.join(kinds) or 'nothing in it'}")
    for name, (kind, needed) in kinds.items():
        value = data.setdefault(name, None)
        if (value is None and needed) or (value is not None and type(value) is not kind):
            raise BadRequest(f"{name} is missing, or not of its kind")
    return data


def who():
    """The name that the agent writes down: the OctoPrint user's."""
    return (current_user.get_id() or "")[:64]


def an_id(text):
    if not isinstance(text, str) or not _ID.match(text):
        raise BadRequest("not an id")
    return text


def offer_of(offer):
    """What a list of jobs shows of an offer. Text is text: the page escapes it."""
    license = offer["license"]
    document = license["document"]
    estimate = document.get("estimate") or {}
    return {
        "license": license["id"],
        "title": document["title"],
        "material": document["material"] or estimate.get("material", ""),
        "price": document["price"],
        "time_s": estimate.get("time_s"),
        "printed": offer.get("printed", ""),
        "expires_at_s": license["expires_at_s"],
        "copies": offer["available"],
        "granted": license["copies"],
        "note": offer["note"],
        "picture": picture_of(estimate),
    }


def picture_of(estimate):
    """A data URL for a PNG that is one, or an empty text."""
    try:
        data = base64.b64decode(estimate.get("thumbnail_png", ""), validate=True)
    except (binascii.Error, TypeError, ValueError):
        return ""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}" if data.startswith(_PNG) else ""


class Routes:
    """Functions for the plugin's blueprint; the plugin mixes them in. Needs `agent`, `printing`, `_connected`."""

    def show(self):
        """Everything the tab shows but the offers."""
        status = self.agent.ask("GET", "/v1/status", timeout_s=5.0)
        report = self.printing.report()
        return {
            "unit": status["unit"],
            "machine": status["machine"]["state"],
            "job": status["job"],
            "halted": status.get("halted", {}).get("reason", ""),
            "bed_is_clear": status.get("bed", {}).get("clear", False),
            "obstacle": report["problem"] or ("" if self.connected() else "the agent is not connected to this plugin"),
        }

    def show_offers(self):
        return {"offers": [offer_of(offer) for offer in self.agent.ask("GET", "/v1/offers")]}

    def show_jobs(self):
        return {"jobs": self.agent.ask("GET", "/v1/jobs")[:50]}

    def show_labels(self, job):
        labels = self.agent.ask("GET", f"/v1/jobs/{an_id(job)}/labels")
        # The code on a label is worth its part: it is printed at the agent, not shown to every browser.
        return {"parts": [{"part": label["part"], "serial": label["serial"]} for label in labels]}

    def order(self):
        wanted = body(
            license=(str, True),
            quantity=(int, True),
            order_key=(str, True),
            customer=(str, False),
            inspect=(bool, False),
            bed_is_clear=(bool, False),
        )
        license, quantity = an_id(wanted["license"]), wanted["quantity"]
        if not 0 < quantity <= MAX_QUANTITY:
            raise BadRequest(f"a quantity is 1 to {MAX_QUANTITY}")
        user = who()
        entry = self.agent.ask(
            "POST",
            "/v1/jobs",
            {
                "license": license,
                "quantity": quantity,
                # A click that is sent twice is one order.
                "order_key": wanted["order_key"],
                "customer": wanted["customer"] or "",
                "inspect": wanted["inspect"] is True,
                "bed_is_clear": wanted["bed_is_clear"] is True,
            },
            user=user,
        )
        self.ordered(entry["job"], user)
        return entry

    def say(self):
        said = body(word=(str, True), failed=(list, False))
        if said["word"] not in ("continue", "finish"):
            raise BadRequest("a word is continue or finish")
        failed = said["failed"] or []
        if any(type(index) is not int or index < 0 for index in failed):
            raise BadRequest("failed copies are numbers")
        return self.agent.ask("POST", "/v1/say", {"word": said["word"], "failed": failed}, user=who())

    def pause(self):
        body()
        return self.agent.ask("POST", "/v1/pause", {}, user=who())

    def resume(self):
        body()
        return self.agent.ask("POST", "/v1/resume", {}, user=who())

    def cancel(self):
        body()
        return self.agent.ask("POST", "/v1/cancel", {}, user=who())
