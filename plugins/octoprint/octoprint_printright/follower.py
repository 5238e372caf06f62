"""Follows the agent's open job, and tells OctoPrint's event bus what becomes of it."""

from __future__ import annotations

import threading

from .agent import AgentError

INTERVAL_S = 1.0
EVENTS = ("job_started", "job_waiting", "job_finished", "job_refused")


class Follower:
    """`fire(name, payload)` gets an event for each change. Payloads name job, license, title, user and counts."""

    def __init__(self, agent, fire, hint):
        self._agent, self._fire, self._hint = agent, fire, hint
        self._users = {}
        self._seen = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="printright-follower", daemon=True)
        self._thread.start()

    def close(self):
        self._stop.set()

    def ordered(self, job, user):
        self._users = {job: user}

    def _run(self):
        while not self._stop.wait(INTERVAL_S):
            try:
                self._look()
            except AgentError:
                continue

    def _look(self):
        job = self._agent.ask("GET", "/v1/status", timeout_s=5.0)["job"]
        if job is not None:
            self._hint(job["title"], self._users.get(job["job"], ""))
            self._tell(job)
        for known in [each for each in self._seen if job is None or each != job["job"]]:
            self._tell(self._agent.ask("GET", f"/v1/jobs/{known}", timeout_s=5.0))
            del self._seen[known]

    def _tell(self, job):
        before, now = self._seen.get(job["job"]), job["stage"]
        self._seen[job["job"]] = now
        if before is None and now not in ("finished", "refused"):
            self._fire("job_started", self._payload(job))
        if before == now:
            return
        if now in ("waiting", "finished", "refused"):
            self._fire(f"job_{now}", self._payload(job))

    def _payload(self, job):
        return {
            "job": job["job"],
            "license": job["license"],
            "title": job["title"],
            "user": self._users.get(job["job"], ""),
            "quantity": job["quantity"],
            "good": job["outcomes"].count("good"),
            "failed": job["outcomes"].count("failed"),
            "note": job["note"],
        }
