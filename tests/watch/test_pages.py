"""What the dashboard answers, over HTTP and from a real keeper's journal: the facts, and to whom."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.domain.verdicts import Kind
from keeper.journal.journal import reset
from keeper.settings import Settings
from keeper.watch.pages import CONFIRM, COOKIE, HEADERS
from keeper.watch.serve import host_and_port, serving
from tests.watch.conftest import SECRET, Asker, Kept, shown

CLOSED = ["/api/state", "/api/live", "/api/course", "/api/search", "/api/explain", "/api/flight", "/metrics"]


def breach(kept: Kept) -> None:
    """Ether falls until the twin's loan is below its floor, and the keeper's action waits for a block."""
    kept.live(3)
    kept.world.set_price("WETH", 1500)
    kept.world.automine(False)
    kept.turn()


def test_state__of_two_rules__tells_verdicts_bands_and_balance(kept: Kept, dashboard: Asker) -> None:
    kept.live(2)
    dashboard.until(lambda state: all(position["marks"] for position in state["positions"]))
    breach(kept)
    state = dashboard.until(lambda state: state["counts"]["breached"])
    first, second = state["positions"]
    twin, owner = kept.world.roles.twin, kept.world.roles.owner
    assert [(p["owner"], p["verdict"]) for p in (first, second)] == [(twin, "breached"), (owner, "within")]
    assert first["measure"]["text"] == "1.3499"
    assert {name: mark["text"] for name, mark in first["marks"].items()} == {
        "low": "1.4000",
        "target": "1.7000",
        "high": "2.5000",
    }
    assert first["fields"]["slippage_bps"] == "100"
    assert first["fields"]["expiry"] == "never"
    assert first["fields"]["collateral"] == f"WETH {kept.world.weth.token}"
    assert state["block"]["number"] == kept.world.node.head().number
    (flight,) = state["flights"]
    assert (flight["state"], flight["ended"], flight["owner"]) == ("broadcast", False, twin)
    assert flight["moves_text"][0].startswith("repay 29,966.")


def test_balances__once_the_journal_knows_who_sends__are_told(kept: Kept, dashboard: Asker) -> None:
    breach(kept)
    state = dashboard.until(lambda state: state["balances"])
    assert state["balances"][0]["account"] == kept.world.roles.keeper


def test_explain__over_http__tells_what_the_command_tells(kept: Kept, dashboard: Asker) -> None:
    breach(kept)
    twin = kept.world.roles.twin
    told = dashboard.ask("/api/explain", owner=twin).json
    assert told["verdicts"][0]["why"] == "health: below the floor"
    assert told["decided"][0]["state"] == "broadcast"
    assert told["block"] == kept.world.node.head().number
    earlier = dashboard.ask("/api/explain", owner=twin.lower(), block=told["block"] - 1).json
    assert earlier["verdicts"][0]["verdict"] == "within"
    assert earlier["next"]["intent"] == told["decided"][0]["intent"]
    assert dashboard.ask("/api/explain", owner=kept.world.roles.stranger).status == 404


def test_explain__once_all_is_within_again__points_to_the_block_that_was_not(
    kept: Kept, dashboard: Asker
) -> None:
    kept.world.set_price("WETH", 1500)
    breached = kept.turn().block.number
    kept.live(1)
    told = dashboard.ask("/api/explain", owner=kept.world.roles.twin).json
    assert (told["verdicts"][0]["verdict"], told["stirred"]) == ("within", breached)
    asked = dashboard.ask("/api/explain", owner=kept.world.roles.twin, block=breached).json
    assert (asked["verdicts"][0]["verdict"], asked["stirred"]) == ("breached", None)


def test_a_flights_story__asked_for__goes_from_its_nonce_to_where_it_stands(
    kept: Kept, dashboard: Asker
) -> None:
    breach(kept)
    (flight,) = dashboard.until(lambda state: state["flights"])["flights"]
    told = dashboard.ask("/api/flight", id=flight["intent"]).json
    assert told["story"][-1]["state"] == "broadcast"
    assert told["attempts"][0]["purpose"] == "act"
    assert dashboard.ask("/api/flight", id="none").status == 404


def test_course__of_a_rule__is_its_measure_block_by_block(kept: Kept, dashboard: Asker) -> None:
    kept.live(3)
    breach(kept)
    world = kept.world
    asked = {"thresholds": world.thresholds, "owner": world.roles.twin, "rule": 0}
    told = dashboard.ask("/api/course", **asked).json
    blocks = [point["block"] for point in told["points"]]
    assert blocks == sorted(set(blocks))
    assert len(blocks) == 7
    assert told["points"][-1]["verdict"] == "breached"
    assert abs(told["points"][-1]["at"] - 1.35) < 0.001
    assert dashboard.ask("/api/course", **{**asked, "rule": 7}).json["points"] == []


@pytest.mark.parametrize(
    ("words", "verdicts", "flights"),
    [
        ("breached", 1, 0),
        ("BELOW floor", 1, 1),
        ("usdc", 0, 1),
        ("within", 2, 0),
        ("nowhere", 0, 0),
        ("%", 0, 0),
        ("   ", 0, 0),
        ("' or 1=1 --", 0, 0),
    ],
)
def test_search__by_words__finds_verdicts_and_flights_in_which_all_occur(
    kept: Kept, dashboard: Asker, words: str, verdicts: int, flights: int
) -> None:
    breach(kept)
    told = dashboard.ask("/api/search", q=words).json
    assert (len(told["verdicts"]), len(told["flights"])) == (verdicts, flights)


def test_search__by_owner_block_and_hash__finds_them(kept: Kept, dashboard: Asker) -> None:
    breach(kept)
    twin, number = kept.world.roles.twin, kept.world.node.head().number
    spans = dashboard.ask("/api/search", q=twin).json["verdicts"]
    assert [(span["verdict"], span["last"]) for span in spans] == [
        ("breached", number),
        ("within", number - 1),
    ]
    assert spans[1]["last"] - spans[1]["first"] == 2
    (flight,) = dashboard.ask("/api/search", q=str(number)).json["flights"]
    found = dashboard.ask("/api/search", q=flight["attempts"][0]["hash"]).json["flights"]
    assert found == [flight]


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("token", [None, "wrong", SECRET[:-1]])
def test_a_closed_door__without_the_token__tells_nothing(
    kept: Kept, dashboard: Asker, path: str, token: str | None
) -> None:
    kept.turn()
    told = replace(dashboard, token=token).ask(path)
    assert told.status == 401
    assert set(told.json) == {"error"}


@pytest.mark.parametrize(
    "path", ["/", "/health", "/files/watch.js", "/nothing", "/files/..%2faccess.py", *CLOSED]
)
def test_every_answer__whatever_it_is__carries_the_headers(dashboard: Asker, path: str) -> None:
    for token in (None, SECRET):
        if path == "/api/live" and token:
            continue
        told = replace(dashboard, token=token).ask(path)
        assert {name: told.headers.get(name.lower()) for name in HEADERS} == HEADERS
        assert "server" not in told.headers
        assert told.status in (200, 400, 401, 404, 503)


def test_the_policy__in_every_answer__allows_nothing_from_elsewhere() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert not any(word in policy for word in ("unsafe", "*", "http:", "https:", "data:"))


def test_a_token__in_the_address__opens_nothing(dashboard: Asker) -> None:
    stranger = replace(dashboard, token=None)
    assert stranger.ask("/api/state", token=SECRET, access_token=SECRET).status == 401


def test_a_session__opened_with_the_token__lets_in_until_it_is_left(kept: Kept, dashboard: Asker) -> None:
    kept.turn()
    nobody = replace(dashboard, token=None)
    assert b"Sign in" in nobody.ask("/").body
    entered = dashboard.ask("/api/session", "POST")
    assert entered.status == 204
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert SECRET not in cookie
    with_cookie = {"Cookie": cookie.partition(";")[0]}
    assert nobody.ask("/api/state", headers=with_cookie).status == 200
    assert b"Positions" in nobody.ask("/", headers=with_cookie).body
    assert nobody.ask("/api/session", "DELETE", headers=with_cookie).status == 204
    assert nobody.ask("/api/state", headers=with_cookie).status == 401


def test_a_session__behind_tls__is_never_sent_in_the_clear(dashboard: Asker) -> None:
    entered = dashboard.ask("/api/session", "POST", headers={"Origin": "https://keeper.example"})
    assert "Secure" in entered.headers["set-cookie"]


def test_signing_in__with_wrong_tokens__is_refused_and_soon_not_even_tried(dashboard: Asker) -> None:
    stranger = replace(dashboard, token="wrong")
    assert [stranger.ask("/api/session", "POST").status for _ in range(6)] == [401] * 5 + [429]
    assert dashboard.ask("/api/session", "POST").status == 429
    assert dashboard.ask("/api/session", "POST").headers["retry-after"] == "60"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_origin__with_the_cookie__is_answered_nothing(
    kept: Kept, dashboard: Asker, site: str
) -> None:
    kept.turn()
    cookie = dashboard.ask("/api/session", "POST").headers["set-cookie"].partition(";")[0]
    nobody = replace(dashboard, token=None)
    foreign = {"Cookie": cookie, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"}
    for path, method in (("/api/state", "GET"), ("/api/session", "DELETE"), ("/api/session", "POST")):
        assert nobody.ask(path, method, headers=foreign).status == 403
    assert nobody.ask("/api/state", headers={"Cookie": cookie}).status == 200


def test_a_name_that_only_leads_here__is_not_answered(dashboard: Asker) -> None:
    assert dashboard.ask("/api/state", headers={"Host": "rebound.example"}).status == 421
    assert dashboard.ask("/health", headers={"Host": "localhost"}).status == 200


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/explain", {"owner": "0x12"}),
        ("/api/explain", {"owner": "0x" + "11" * 20, "block": "-1"}),
        ("/api/explain", {"owner": "0x" + "11" * 20, "block": "9" * 30}),
        ("/api/course", {"owner": "0x" + "11" * 20, "thresholds": "0x" + "11" * 20, "rule": "²"}),
        ("/api/course", {"owner": "0x" + "11" * 20, "thresholds": "", "rule": "1"}),
    ],
)
def test_a_question__that_makes_no_sense__is_one_sentence(
    kept: Kept, dashboard: Asker, path: str, query: dict[str, str]
) -> None:
    told = dashboard.ask(path, **query)
    assert (told.status, set(told.json)) == (400, {"error"})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_door__knocked_at_to_change_something__has_nothing_to_change(dashboard: Asker, method: str) -> None:
    assert {dashboard.ask(path, method).status for path in ("/", "/files/watch.js", *CLOSED)} == {405}


def test_pause__asked_for_by_who_may__holds_the_keeper_until_it_is_resumed(
    kept: Kept, settings: Settings
) -> None:
    yes = {CONFIRM: "yes"}
    with shown(settings, may_pause=True) as asker:
        assert asker.ask("/api/pause", "POST", headers=yes, reason="new pools").json == {
            "block": 0,
            "why": "pause: a person asked for it (new pools)",
        }
        state = asker.until(lambda state: state["latches"])
        assert (state["may_pause"], [latch["name"] for latch in state["latches"]]) == (True, ["pause"])
        told = asker.ask("/metrics").body
        assert b"keeper_paused 1.0" in told
        assert b"keeper_breaker_latched{" not in told
        kept.world.set_price("WETH", 1500)
        (barred,) = [verdict for verdict in kept.turn().verdicts if "pause" in verdict.why]
        assert barred.kind is Kind.BARRED
        assert asker.ask("/api/pause", "DELETE", headers=yes).json == {"resumed": True}
        assert asker.ask("/api/pause", "DELETE", headers=yes).json == {"resumed": False}
    assert len(kept.turn().intents) == 1


def test_pause__by_who_may_not__is_refused_and_nothing_is_latched(
    kept: Kept, dashboard: Asker, settings: Settings
) -> None:
    kept.turn()
    yes = {CONFIRM: "yes"}
    assert dashboard.ask("/api/pause", "POST", headers=yes).status == 404, "it only reads unless it is let"
    assert dashboard.ask("/api/state").json["may_pause"] is False
    with shown(settings, may_pause=True) as asker:
        cookie = {"Cookie": asker.ask("/api/session", "POST").headers["set-cookie"].partition(";")[0]}
        nobody = replace(asker, token=None)
        for method in ("POST", "DELETE"):
            assert nobody.ask("/api/pause", method, headers=yes).status == 401
            assert asker.ask("/api/pause", method).status == 403, "no header, as from a form elsewhere"
            foreign = {**yes, **cookie, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
            assert nobody.ask("/api/pause", method, headers=foreign).status == 403
        assert nobody.ask("/api/pause", headers=cookie).status == 405
        preflight = nobody.ask("/api/pause", "OPTIONS", headers={"Origin": "https://elsewhere.example"})
        assert not [name for name in preflight.headers if name.startswith("access-control-")]
        assert asker.ask("/api/state").json["latches"] == []


def test_live__as_the_keeper_turns__tells_each_new_state(kept: Kept, dashboard: Asker) -> None:
    kept.turn()
    with closing(http.client.HTTPConnection(urlsplit(dashboard.url).netloc, timeout=15)) as connection:
        connection.request("GET", "/api/live", headers={"Authorization": f"Bearer {SECRET}"})
        stream = connection.getresponse()
        assert stream.getheader("content-type") == "text/event-stream; charset=utf-8"

        def until(wanted: bytes) -> None:
            for _ in range(400):
                if wanted in stream.readline():
                    return
            raise AssertionError(wanted)

        until(b'"breached": 0')
        breach(kept)
        until(b'"breached": 1')


def test_live__to_more_pages_than_it_can_feed__refuses_and_feeds_again_when_one_is_closed(
    kept: Kept, settings: Settings
) -> None:
    kept.turn()
    with shown(settings) as asker:
        open_ = []
        for _ in range(12):
            connection = http.client.HTTPConnection(urlsplit(asker.url).netloc, timeout=15)
            connection.request("GET", "/api/live", headers={"Authorization": f"Bearer {SECRET}"})
            stream = connection.getresponse()
            assert stream.status == 200
            open_.append((connection, stream))
        assert asker.ask("/api/live").status == 503
        assert asker.ask("/api/state").status == 200
        for connection, stream in open_:
            stream.close()
            connection.close()
        for _ in range(200):
            kept.live(1)
            with closing(http.client.HTTPConnection(urlsplit(asker.url).netloc, timeout=15)) as again:
                again.request("GET", "/api/live", headers={"Authorization": f"Bearer {SECRET}"})
                if again.getresponse().status == 200:
                    return
        raise AssertionError("no place was given back")


def test_the_page__before_any_keeper_ran__says_so(settings: Settings) -> None:
    with shown(settings) as asker:
        state = asker.until(lambda state: "there is none at" in state["trouble"])
        assert state["positions"] == []
        told = asker.ask("/api/search", q="breached")
        assert (told.status, told.json["error"].startswith("journal: there is none at")) == (503, True)


def test_the_page__while_no_node_answers__still_tells_what_the_journal_holds(
    kept: Kept, settings: Settings
) -> None:
    kept.turn()
    chain = settings.chain.model_copy(update={"url": "http://127.0.0.1:9"})
    with shown(settings.model_copy(update={"chain": chain})) as asker:
        state = asker.until(lambda state: state["outlook"]["trouble"] and state["positions"])
    assert "gave no answer" in state["outlook"]["trouble"]
    assert [position["marks"] for position in state["positions"]] == [None, None]
    assert state["counts"]["within"] == 2


def test_a_port__that_is_taken__is_one_sentence(settings: Settings) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Misconfigured, match="cannot be listened on"), serving(settings, place):
            pass


@pytest.mark.parametrize(
    ("place", "host", "port"),
    [
        ("9000", "127.0.0.1", 9000),
        (":9000", "127.0.0.1", 9000),
        ("0.0.0.0", "0.0.0.0", 8787),
        ("localhost:0", "localhost", 0),
        ("[::1]:9000", "::1", 9000),
    ],
)
def test_a_place__in_part_or_whole__is_understood(place: str, host: str, port: int) -> None:
    assert host_and_port(place) == (host, port)


@pytest.mark.parametrize("place", ["host:port", "1:2:3", "127.0.0.1:70000", "[::1]x"])
def test_a_place__that_is_none__is_one_sentence(place: str) -> None:
    with pytest.raises(Misconfigured, match="is not a host and a port"):
        host_and_port(place)


def test_the_dashboard__stopped_with_pages_open__stops(kept: Kept, settings: Settings) -> None:
    kept.turn()
    with shown(settings) as asker:
        connection = http.client.HTTPConnection(urlsplit(asker.url).netloc, timeout=15)
        connection.request("GET", "/api/live", headers={"Authorization": f"Bearer {SECRET}"})
        assert connection.getresponse().status == 200
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        asker.ask("/health")


def test_the_token__after_all_ways_to_show_it__stands_in_no_output(world: World, settings: Settings) -> None:
    code = f"""
import sys, http.client
from pathlib import Path
from keeper.settings import read_settings
from keeper.watch.serve import serving
with serving(read_settings(Path({str(settings.journal.path.parent / "keeper.toml")!r})), "127.0.0.1:0") as standing:
    print(standing)
    for path in ("/", "/api/state", "/metrics", "/nothing", "/api/session"):
        for method in ("GET", "POST"):
            connection = http.client.HTTPConnection(standing.url.split("/")[2])
            connection.request(method, path, headers={{"Authorization": "Bearer {SECRET}"}})
            connection.getresponse().read()
            connection.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert COOKIE not in done.stdout + done.stderr


def test_a_breaker__that_tripped__is_told_and_counted_until_it_is_reset(kept: Kept, dashboard: Asker) -> None:
    kept.turn()
    assert kept.keeper.journal is not None
    kept.keeper.journal.latch("reverts", 7, "breaker: the last 3 actions reverted")
    state = dashboard.until(lambda state: state["latches"])
    assert state["latches"] == [
        {"name": "reverts", "block": 7, "why": "breaker: the last 3 actions reverted"}
    ]
    assert b'keeper_breaker_latched{name="reverts"} 1.0' in dashboard.ask("/metrics").body
    reset(kept.journal)
    assert not dashboard.until(lambda state: not state["latches"])["latches"]
