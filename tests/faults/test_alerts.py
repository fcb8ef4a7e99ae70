"""F2: whoever is to be told is gone, and no turn waits for that; and what is worth telling."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from keeper.alerts import Alert, Alerts, News, channels_of, heartbeat
from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured, NodeUnreachable
from keeper.domain.flights import Change, State
from keeper.domain.foresight import GAS_CAP, Cause, Foreseen, Foresight, Obstacle, Reach
from keeper.domain.loans import health_measure
from keeper.domain.units import WAD
from keeper.domain.verdicts import Kind, Verdict
from keeper.settings import AlertSettings
from keeper.turn import Turn
from tests.send.flights_given import flight

SOON = (0.05,)


class Sink:
    """Whoever is told, over HTTP: `told` are the bodies of what was taken; it may refuse, or let one wait."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked = 0
        self.status = 200
        self.waits = 0.0
        self.url = ""

    def until(self, done: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + 20
        while not done():
            assert time.monotonic() < give_up_at, self.told
            time.sleep(0.01)


@contextmanager
def sinking() -> Iterator[Sink]:
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(body["message"])

        def do_GET(self) -> None:
            self.answer("beat")

        def answer(self, said: str) -> None:
            sink.asked += 1
            time.sleep(sink.waits)
            if sink.status == 200:
                sink.told.append(said)
            self.send_response(sink.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    sink.url = f"127.0.0.1:{server.server_port}"
    try:
        yield sink
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def sinks() -> Iterator[tuple[Sink, Sink]]:
    with sinking() as first, sinking() as second:
        yield first, second


@contextmanager
def alerting(*sinks: Sink, query: str = "") -> Iterator[Alerts]:
    urls = tuple(f"json://{sink.url}/{query}" for sink in sinks)
    alerts = Alerts(channels_of(AlertSettings(urls=urls)), rests=SOON)
    try:
        yield alerts
    finally:
        alerts.close(1.0)


def test_f2_an_alert__is_told_by_the_first_channel_and_the_same_words_once(sinks: tuple[Sink, Sink]) -> None:
    first, second = sinks
    with alerting(first, second) as alerts:
        for body in ("one", "one", "two"):
            alerts.say(Alert("a flight", body))
        first.until(lambda: len(first.told) == 2)
    assert (first.told, second.told) == (["one", "two"], [])


@pytest.mark.parametrize("status", [500, 404])
def test_f2_a_channel_that_refuses__is_stood_in_for_by_the_next(
    sinks: tuple[Sink, Sink], status: int
) -> None:
    first, second = sinks
    first.status = status
    with alerting(first, second) as alerts:
        alerts.say(Alert("a flight", "one"))
        second.until(lambda: second.told == ["one"])
    assert first.asked == 1


def test_f2_channels_that_all_fail__are_tried_again_and_nothing_is_lost_or_told_out_of_order(
    sinks: tuple[Sink, Sink],
) -> None:
    first, second = sinks
    first.status = second.status = 500
    with alerting(first, second) as alerts:
        for body in ("one", "two", "three"):
            alerts.say(Alert("a flight", body))
        first.until(lambda: first.asked >= 3)
        assert first.told == second.told == []
        second.status = 200
        second.until(lambda: second.told == ["one", "two", "three"])


def test_f2_a_channel_that_hangs__holds_up_neither_a_turn_nor_the_other_channel(
    sinks: tuple[Sink, Sink],
) -> None:
    first, second = sinks
    first.waits = 3.0
    with alerting(first, second, query="?rto=0.3&cto=0.3") as alerts:
        begun = time.monotonic()
        for n in range(100):
            alerts.say(Alert("a flight", f"{n}"))
            alerts.alive()
        assert time.monotonic() - begun < 0.3
        second.until(lambda: second.told[:1] == ["0"])


def test_f2_more_than_can_wait__forgets_the_oldest_and_says_so(sinks: tuple[Sink, Sink]) -> None:
    first, _ = sinks
    first.status = 500
    with alerting(first) as alerts:
        for n in range(300):
            alerts.say(Alert("a flight", f"{n}"))
        first.status = 200
        first.until(lambda: "299" in first.told)
    said = [body for body in first.told if "before it could not be told" in body]
    assert len(said) == 1
    assert 256 <= len(first.told) <= 257


def test_a_heartbeat__beats_after_turns_and_once_a_minute(sinks: tuple[Sink, Sink]) -> None:
    first, _ = sinks
    assert heartbeat("") is None
    alerts = Alerts((), heartbeat(f"http://{first.url}/"), SOON)
    for _ in range(5):
        alerts.alive()
    alerts.close()
    assert first.told == ["beat"]


def test_an_address__that_nothing_can_be_told_by__is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEEPER_ALERT_URLS", "json://127.0.0.1/ nonsense://user:secret@host")
    with pytest.raises(Misconfigured, match="address 2 of 2 is none that apprise can read") as refused:
        channels_of(AlertSettings(urls=("json://elsewhere",)))
    assert "secret" not in str(refused.value)


BLOCK = Block(7, "0x07", "0x06", 1_000, 10**9)


def turn(kind: Kind = Kind.WITHIN, **changes: object) -> Turn:
    key = flight().intent.plan.key
    verdict = Verdict(key, kind, "judge: so", health_measure(WAD))
    return replace(Turn(BLOCK, (verdict,), (), ()), **changes)


def titles(alerts: Iterator[Alert]) -> list[str]:
    return [alert.title for alert in alerts]


def test_news__of_a_turn__are_alarms_and_breakers_and_nothing_else() -> None:
    news = News(300, 600)
    alarmed = Change(replace(flight(), why="send: reverted"), State.INCLUDED, alarm=True)
    quiet = replace(alarmed, alarm=False)
    told = list(news.of_turn(turn(changes=(alarmed, quiet), tripped=("breaker: enough",)), 0))
    assert [alert.title for alert in told] == ["a flight asks for a person", "a breaker has tripped"]
    assert told[0].body.endswith("send: reverted")
    assert titles(news.of_turn(turn(), 1)) == []


@pytest.mark.parametrize("kind", [Kind.BREACHED, Kind.BARRED, Kind.BLIND])
def test_news__of_a_rule_out_of_its_band__come_once_it_was_long_and_again_after_it_was_back(
    kind: Kind,
) -> None:
    news = News(300, 600)
    for _ in range(2):
        heard = [titles(news.of_turn(turn(kind), now)) for now in (0, 599, 600, 10_000)]
        assert heard == [[], [], ["a rule is not held"], []]
        assert titles(news.of_turn(turn(), 20_000)) == []


def test_news__of_no_turn__come_once_and_its_end_is_told() -> None:
    news, gone = News(300, 600), NodeUnreachable("node: gone")
    assert titles(news.of_turn(turn(), 0)) == []
    heard = [titles(news.of_trouble(gone, now)) for now in (10, 299, 300, 5_000)]
    assert heard == [[], [], ["no turn is taken"], []]
    assert titles(news.of_turn(turn(), 5_010)) == ["turns are taken again"]


def foreseen(*causes: Cause) -> Foreseen:
    key = flight().intent.plan.key
    obstacles = tuple(Obstacle(cause, f"{cause}: in the way") for cause in causes)
    return Foreseen(7, (Foresight(key, health_measure(WAD), Reach(7_200, 90_000), obstacles),))


def test_news__of_what_would_stop_an_action__come_once_for_each_cause_and_again_after_it_was_mended() -> None:
    news = News(300, 600)
    granted, priced = Cause.GRANT, Cause.PRICE
    (alert,) = news.of_turn(turn(foreseen=foreseen(granted)), 0)
    assert alert.title == "an action would be stopped"
    assert alert.body.endswith("breached perhaps in 2 hours, more likely 25 hours: grant: in the way")
    assert titles(news.of_turn(turn(foreseen=foreseen(granted)), 1)) == []
    assert titles(news.of_turn(turn(), 2)) == []
    (other,) = news.of_turn(turn(foreseen=foreseen(granted, priced)), 3)
    assert other.body.endswith("price: in the way")
    assert titles(news.of_turn(turn(foreseen=foreseen()), 4)) == []
    assert len(titles(news.of_turn(turn(foreseen=foreseen(granted)), 5))) == 1


def test_news__of_gas_that_stops_every_action__are_one_and_leave_room_for_others() -> None:
    news, (one,) = News(300, 600), foreseen(Cause.GRANT, Cause.GAS_PRICE).foresights
    many = Foreseen(7, tuple(replace(one, key=replace(one.key, id=n)) for n in range(50)))
    heard = [alert.body for alert in news.of_turn(turn(foreseen=many), 0)]
    (gas,) = [body for body in heard if "gas_price" in body]
    assert gas.startswith("rule 0 of ")
    assert " and 49 more, breached perhaps in 2 hours" in gas
    assert len(heard) == 51
    assert titles(news.of_turn(turn(foreseen=replace(many, foresights=many.foresights[1:])), 1)) == []
    assert titles(news.of_turn(turn(foreseen=Foreseen(7, ())), 2)) == []
    assert titles(news.of_turn(turn(foreseen=many), 3)) == []
    assert titles(news.of_turn(turn(foreseen=foreseen(Cause.GRANT)), 4)) == []
    assert len(titles(news.of_turn(turn(foreseen=foreseen(Cause.GRANT, Cause.GAS_PRICE)), 5))) == 1


def test_news__of_a_gas_cap_that_is_a_rule_s_own__are_that_rule_s_and_hide_nothing_of_the_keeper_s() -> None:
    news, (one,) = News(300, 600), foreseen(Cause.GAS_PRICE).foresights
    capped = Foresight(one.key, one.measure, one.reach, (Obstacle(Cause.GAS_PRICE, GAS_CAP),))
    second = replace(capped, key=replace(one.key, id=1))
    third = replace(one, key=replace(one.key, id=2))
    for found, count in (((capped,), 1), ((capped, second), 1), ((capped, second, third), 1)):
        assert len(titles(news.of_turn(turn(foreseen=Foreseen(7, found)), 0))) == count


def test_news__of_a_rule_that_comes_and_goes_within_a_day__are_not_told_again() -> None:
    news, away = News(300, 600), Foreseen(7, ())
    assert len(titles(news.of_turn(turn(foreseen=foreseen(Cause.GRANT)), 0))) == 1
    assert titles(news.of_turn(turn(foreseen=away), 80_000)) == []
    assert titles(news.of_turn(turn(foreseen=foreseen(Cause.GRANT)), 86_000)) == []
    assert titles(news.of_turn(turn(foreseen=away), 86_000 + 86_400)) == []
    assert len(titles(news.of_turn(turn(foreseen=foreseen(Cause.GRANT)), 180_000))) == 1
