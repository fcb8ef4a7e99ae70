"""The page's doors, in Starlette: which question is answered how, to whom, and with which headers.

Every handler is a plain function, run in a thread: the keeper has one colour. No answer may be framed, stored, read by
another origin, or load anything that is not in this package; the policy also forbids the page to turn text into markup.
Nothing here changes anything but sessions and, where the operator lets it, whether the keeper is paused.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

from eth_utils.address import is_address
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from keeper.breakers import PAUSE, pause_text
from keeper.domain.errors import JournalBroken
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.journal.annals import Annals
from keeper.journal.journal import hold, reset
from keeper.protocols.methods import address
from keeper.show import page_json
from keeper.watch.access import SESSION_SECONDS, Access, Answer
from keeper.watch.facts import course_json, flight_facts, span_json, step_json
from keeper.watch.metrics import CONTENT_TYPE, exposition
from keeper.watch.pulse import Pulse

COOKIE: Final = "keeper_session"
CONFIRM: Final = "x-keeper-confirm"
"""The header that goes with every question which changes something."""
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_FILES: Final = {
    "draw.js": "text/javascript",
    "enter.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "watch.css": "text/css",
    "watch.js": "text/javascript",
}
_MOST_STREAMS: Final = 12
_BEAT_SECONDS: Final = 15.0
_MOST_TURNS: Final = 7_200
_MOST_FOUND: Final = 100
_LONGEST_SEARCH: Final = 200
_256_BITS: Final = 2**256

Handler = Callable[[Request], Response]


def build(pulse: Pulse, access: Access, hosts: frozenset[str] | None, may_pause: bool = False) -> Starlette:
    """The application; `hosts` are the names it may be asked by, None for any.

    Only where one `may_pause` are there doors that change anything, and all they change is the journal's pause.
    """
    pages = _Pages(pulse, access)
    open_: dict[str, Handler] = {"/": pages.page, "/files/{name}": pages.file, "/health": pages.health}
    closed: dict[str, Handler] = {
        "/api/state": pages.state,
        "/api/live": pages.live,
        "/api/course": pages.course,
        "/api/search": pages.search,
        "/api/explain": pages.explain,
        "/api/flight": pages.flight,
        "/metrics": pages.metrics,
    }
    guard = _Guard(access, hosts)
    routes = [Route(path, guard.anyone(handler), methods=["GET"]) for path, handler in open_.items()]
    routes += [Route(path, guard.known(handler), methods=["GET"]) for path, handler in closed.items()]
    routes.append(Route("/api/session", guard.anyone(pages.enter), methods=["POST"]))
    routes.append(Route("/api/session", guard.anyone(pages.leave), methods=["DELETE"]))
    if may_pause:
        routes.append(Route("/api/pause", guard.asked(pages.pause), methods=["POST"]))
        routes.append(Route("/api/pause", guard.asked(pages.resume), methods=["DELETE"]))
    return Starlette(
        routes=routes, exception_handlers={HTTPException: _refuse, JournalBroken: _unread, Exception: _broken}
    )


class _Guard:
    """Stands before every handler."""

    def __init__(self, access: Access, hosts: frozenset[str] | None) -> None:
        self._access = access
        self._hosts = hosts

    def anyone(self, handler: Handler) -> Handler:
        def answer(request: Request) -> Response:
            # A name that is not ours but leads here is how a page elsewhere would reach a loopback address.
            if self._hosts is not None and (request.url.hostname or "") not in self._hosts:
                return refusal(421, "web: this name is not one the page answers to")
            if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                is_visit = request.headers.get("sec-fetch-mode") == "navigate" and request.url.path == "/"
                if not is_visit:
                    return refusal(403, "web: pages of another origin are not answered")
            return dressed(handler(request))

        return answer

    def known(self, handler: Handler) -> Handler:
        def answer(request: Request) -> Response:
            if self._access.has_session(request.cookies.get(COOKIE, "")):
                return handler(request)
            if (token := bearer(request)) is None:
                return refusal(401, "web: sign in first")
            return handler(request) if (no := shown(self._access, token, request)) is None else no

        return self.anyone(answer)

    def asked(self, handler: Handler) -> Handler:
        """Known, and by a request that no page elsewhere can make: the header asks for leave that is never given."""

        def answer(request: Request) -> Response:
            if request.headers.get(CONFIRM) != "yes":
                return refusal(403, f"web: to change something say {CONFIRM}: yes")
            return handler(request)

        return self.known(answer)


class _Pages:
    """The handlers."""

    def __init__(self, pulse: Pulse, access: Access) -> None:
        self._pulse = pulse
        self._access = access
        self._streams = threading.BoundedSemaphore(_MOST_STREAMS)

    def page(self, request: Request) -> Response:
        is_known = self._access.has_session(request.cookies.get(COOKIE, ""))
        return Response(_content("watch.html" if is_known else "enter.html"), media_type="text/html")

    def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            return refusal(404, "web: there is no such file")
        return Response(_content(name), media_type=_FILES[name])

    def health(self, request: Request) -> Response:
        return Response("alive\n", media_type="text/plain")

    def enter(self, request: Request) -> Response:
        if (token := bearer(request)) is None:
            return refusal(401, "web: no token was shown")
        if (no := shown(self._access, token, request)) is not None:
            return no
        entered = Response(status_code=204)
        entered.set_cookie(
            COOKIE,
            self._access.open_session(),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.headers.get("origin", "").startswith("https://"),
        )
        return entered

    def leave(self, request: Request) -> Response:
        self._access.end_session(request.cookies.get(COOKIE, ""))
        left = Response(status_code=204)
        left.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return left

    def state(self, request: Request) -> Response:
        return Response(self._pulse.state.text, media_type="application/json")

    def live(self, request: Request) -> Response:
        if not self._streams.acquire(blocking=False):
            return refusal(503, f"web: {_MOST_STREAMS} pages are open already")
        name = request.cookies.get(COOKIE, "")
        events = _Events(
            self._pulse, self._streams.release, lambda: not name or self._access.has_session(name)
        )
        return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    def course(self, request: Request) -> Response:
        key = _key(request)
        with Annals(self._pulse.journal) as annals:
            return as_json(course_json(annals, key, _MOST_TURNS))

    def search(self, request: Request) -> Response:
        text = request.query_params.get("q", "")[:_LONGEST_SEARCH]
        with Annals(self._pulse.journal) as annals:
            spans, flights = annals.search(text, _MOST_FOUND)
        found = {
            "verdicts": [span_json(span) for span in spans],
            "flights": [flight_facts(flight) for flight in flights],
            "most": _MOST_FOUND,
        }
        return as_json(found)

    def explain(self, request: Request) -> Response:
        owner, asked = _address(request, "owner"), request.query_params.get("block", "")
        with Annals(self._pulse.journal) as annals:
            page = annals.verdicts(owner, _number(asked, "block", 2**63) if asked else None)
            stirred = None if asked else annals.last_stirred(owner)
        if page is None or not page.verdicts:
            return refusal(404, "journal: no verdict on this owner at or before this block")
        facts = page_json(page, self._pulse.kinds)
        flights = {
            "decided": [flight_facts(flight) for flight in page.flights],
            "under_way": [flight_facts(flight) for flight in page.open],
            "next": page.later and flight_facts(page.later),
        }
        verdicts = [
            {**told, "rule": str(each.key.id), "measure_text": str(each.measure)}
            for told, each in zip(facts["verdicts"], page.verdicts, strict=True)
        ]
        return as_json(
            {**facts, **flights, "verdicts": verdicts, "rivals": list(page.rivals), "stirred": stirred}
        )

    def flight(self, request: Request) -> Response:
        with Annals(self._pulse.journal) as annals:
            flight = annals.flight(request.query_params.get("id", ""))
            if flight is None:
                return refusal(404, "journal: there is no such flight")
            return as_json(
                {
                    **flight_facts(flight),
                    "story": [step_json(step) for step in annals.story(flight.intent.id)],
                }
            )

    def pause(self, request: Request) -> Response:
        latch, _ = hold(self._pulse.journal, PAUSE, pause_text(request.query_params.get("reason", "")))
        return as_json({"block": latch.block, "why": latch.why})

    def resume(self, request: Request) -> Response:
        return as_json({"resumed": bool(reset(self._pulse.journal, [PAUSE]))})

    def metrics(self, request: Request) -> Response:
        return Response(exposition(self._pulse), media_type=CONTENT_TYPE)


class _Events:
    """States as server-sent events, until the reader has gone, the session has ended, or the server stops."""

    def __init__(self, pulse: Pulse, release: Callable[[], None], may_go_on: Callable[[], bool]) -> None:
        self._pulse = pulse
        self._release: Callable[[], None] | None = release
        self._may_go_on = may_go_on
        self._serial = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        state = self._pulse.wait(self._serial, _BEAT_SECONDS)
        if self._pulse.stopped or not self._may_go_on():
            raise StopIteration
        if state is None:
            return ": still here\n\n"
        self._serial = state.serial
        return f"id: {state.serial}\ndata: {state.text}\n\n"

    def __del__(self) -> None:
        # However the stream ended, the last reference to it goes with it.
        if self._release is not None:
            self._release()
            self._release = None


def as_json(content: Any) -> Response:
    """An answer."""
    return Response(json.dumps(content), media_type="application/json")


def refusal(status: int, why: str) -> Response:
    """An answer that is none, in one sentence."""
    return dressed(Response(json.dumps({"error": why}), status, media_type="application/json"))


def dressed(response: Response) -> Response:
    """The same with the headers that every answer carries."""
    response.headers.update(HEADERS)
    return response


def bearer(request: Request) -> str | None:
    """The token in the `Authorization` header; None when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def shown(access: Access, token: str, request: Request) -> Response | None:
    """The refusal of a token; None when it is the right one."""
    answer = access.show(token, request.client.host if request.client else "")
    if answer is Answer.GRANTED:
        return None
    if answer is Answer.TOO_OFTEN:
        told = refusal(429, "web: too many wrong tokens; wait a minute")
        told.headers["Retry-After"] = "60"
        return told
    return refusal(401, "web: this is not the token")


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, f"web: {error.detail}")


def _unread(request: Request, error: Exception) -> Response:
    return refusal(503, str(error))


def _broken(request: Request, error: Exception) -> Response:
    return refusal(500, "web: this question broke something; standard error has more")


def _content(name: str) -> bytes:
    return files("keeper.watch").joinpath("files", name).read_bytes()


def _key(request: Request) -> RuleKey:
    rule = _number(request.query_params.get("rule", ""), "rule", _256_BITS)
    return RuleKey(_address(request, "thresholds"), _address(request, "owner"), rule)


def _address(request: Request, name: str) -> Address:
    text = request.query_params.get(name, "").strip()
    if not is_address(text):
        raise HTTPException(400, f"{name} is not an address")
    return address(text)


def _number(text: str, name: str, below: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 80 and int(text) < below):
        raise HTTPException(400, f"{name} is not a number")
    return int(text)
