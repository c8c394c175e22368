"""A client of Prefect's REST API for training requests."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import requests

from flows.server import API_URL, CLIENT_AUTH, WANTS_PASSWORD, adopt_served
from oft.errors import UserError

DEPLOYMENT = "training/request"
DEFAULT_API_URL = "http://127.0.0.1:4200/api"
FINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 2.0
RECONNECT_SECONDS = 510.0
"""How long to wait for a server that has answered before; a run does too (PREFECT_CLIENT_MAX_RETRIES)."""
UNAVAILABLE = (502, 503, 504)
PAGE = 200
# Lines are sent in batches: one may arrive after a younger one.
LOG_DELAY = timedelta(seconds=30)


class TrainingRun(NamedTuple):
    """A training's flow run on the server: its state's type and message, and its parameters."""

    id: str
    name: str
    state: str
    message: str
    parameters: dict[str, Any]

    @property
    def is_final(self) -> bool:
        """Whether the run has ended."""
        return self.state in FINAL


class NoAnswerError(UserError):
    """No server answers, or one that is just starting or stopping; a retry may succeed."""


class Client:
    """Talks to the Prefect server whose API is at ``url``; credentials are Prefect's own variables.

    Without a ``url`` it is the server of PREFECT_API_URL, or the one that `make serve` runs for this clone.
    """

    def __init__(self, url: str | None = None) -> None:
        if url is None:
            adopt_served()
        self._url = (url or os.environ.get(API_URL) or DEFAULT_API_URL).rstrip("/")
        self._session = requests.Session()
        if key := os.environ.get("PREFECT_API_KEY"):
            self._session.headers["Authorization"] = f"Bearer {key}"
        elif login := os.environ.get(CLIENT_AUTH):
            user, _, password = login.partition(":")
            self._session.auth = (user, password)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def submit(
        self, request: dict[str, Any], idempotency_key: str, deployment: str = DEPLOYMENT
    ) -> TrainingRun:
        """Queue a training; the same key gives the same run, however often it is sent."""
        found = self._call("GET", f"/deployments/name/{deployment}")
        body = {"parameters": {"request": request}, "idempotency_key": idempotency_key}
        return _parse_run(self._call("POST", f"/deployments/{found['id']}/create_flow_run", body))

    def read(self, run_id: str) -> TrainingRun:
        """Return a run in its present state."""
        return _parse_run(self._call("GET", f"/flow_runs/{run_id}"))

    def cancel(self, run_id: str) -> TrainingRun:
        """Request a run's cancellation: a waiting one ends at once, a running one after its cleanup."""
        self._call("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})
        return self.read(run_id)

    def logs(self, run_id: str) -> list[str]:
        """Return the lines that a run and the pipeline inside it have logged, in order of time."""
        return [line["message"] for line in self._lines(run_id, None)]

    def follow(
        self,
        run_id: str,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> Iterator[str | TrainingRun]:
        """Yield the lines a run logs as they come, and at last the run, ended.

        Waits for a server that has answered once and does not for a while, as when it is restarted.

        Raises:
            UserError: there is no such run, or no server for longer than `RECONNECT_SECONDS`.
        """
        seen: set[str] = set()
        since: datetime | None = None
        answered: float | None = None
        is_reconnecting = False
        while True:
            try:
                run = self.read(run_id)
                if run.is_final:
                    sleep(POLL_SECONDS)  # the last lines are on their way
                lines = self._lines(run_id, since)
            except NoAnswerError as error:
                if answered is None or now() - answered > RECONNECT_SECONDS:
                    raise
                if not is_reconnecting:
                    yield f"{error}; trying again for {RECONNECT_SECONDS / 60:.1f} minutes"
                is_reconnecting = True
                sleep(POLL_SECONDS)
                continue
            answered, is_reconnecting = now(), False
            for line in lines:
                if line["id"] not in seen:
                    seen.add(line["id"])
                    since = datetime.fromisoformat(line["timestamp"]) - LOG_DELAY
                    yield line["message"]
            if run.is_final:
                yield run
                return
            sleep(POLL_SECONDS)

    def _lines(self, run_id: str, since: datetime | None) -> list[dict[str, Any]]:
        """Return the log lines of a run and of the runs it started, from ``since`` on."""
        inner = self._call(
            "POST", "/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [run_id]}}}
        )
        logs: dict[str, Any] = {"flow_run_id": {"any_": [run_id, *(run["id"] for run in inner)]}}
        if since is not None:
            logs["timestamp"] = {"after_": since.isoformat()}
        lines: list[dict[str, Any]] = []
        while True:
            body = {"logs": logs, "sort": "TIMESTAMP_ASC", "offset": len(lines), "limit": PAGE}
            page = self._call("POST", "/logs/filter", body)
            lines += page
            if len(page) < PAGE:
                return lines

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._send(method, path, body)
        if method != "GET" and answer.status_code == 403 and "CSRF" in answer.text:
            self._obtain_token()
            answer = self._send(method, path, body)
        if answer.status_code == 401:
            raise UserError(f"{self._url} {WANTS_PASSWORD}")
        if answer.status_code == 404:
            what = path.rpartition("/name/")[2] if "/name/" in path else path
            raise UserError(f"the server at {self._url} knows no {what}")
        if answer.status_code in UNAVAILABLE:
            raise NoAnswerError(f"the server at {self._url} is not ready (status {answer.status_code})")
        if not answer.ok:
            raise UserError(f"the server at {self._url} refuses: {answer.status_code} {answer.text[:2000]}")
        return answer.json()

    def _obtain_token(self) -> None:
        """Let a server that protects changes by tokens issue one, which holds for an hour."""
        client = str(uuid.uuid4())
        token = self._call("GET", f"/csrf-token?client={client}")["token"]
        self._session.headers.update({"Prefect-Csrf-Client": client, "Prefect-Csrf-Token": token})

    def _send(self, method: str, path: str, body: Any) -> requests.Response:
        try:
            return self._session.request(method, self._url + path, json=body, timeout=TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise NoAnswerError(
                f"no Prefect server answers at {self._url} ({type(error).__name__}); start one (`make serve`)"
                f" or set {API_URL}"
            ) from None


def _parse_run(answer: dict[str, Any]) -> TrainingRun:
    state = answer.get("state") or {}
    return TrainingRun(
        str(answer["id"]),
        str(answer["name"]),
        str(state.get("type") or answer.get("state_type") or "PENDING"),
        str(state.get("message") or ""),
        dict(answer.get("parameters") or {}),
    )
