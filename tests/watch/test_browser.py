"""The dashboard in a real browser, headless: it renders, follows, refuses, is usable by all, and text stays text.

These run where a Chromium is found: at `KEEPER_CHROMIUM`, else on PATH. Elsewhere they are skipped, and say so.
`KEEPER_SHOTS=folder` keeps pictures of what was seen.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keeper.settings import Settings
from tests.watch.conftest import SECRET, Asker, Kept, shown

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright, which drives the browser, is not installed"
)
pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
HOSTILE = "<img src=/x onerror=document.title='owned'><script>document.title='owned'</script>"
expect = playwright.expect

Open = Callable[..., Any]


def found() -> str | None:
    """Where a Chromium is."""
    given = os.environ.get("KEEPER_CHROMIUM")
    return given or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = found()
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH and KEEPER_CHROMIUM is not set")
    with playwright.sync_playwright() as driver:
        # The sandbox needs privileges that containers and root do not have; nothing but our own page is opened.
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any, dashboard: Asker) -> Iterator[Open]:
    """Opens the dashboard signed in, or not; what the page complains of fails the test."""
    contexts, complaints = [], []

    def open_it(sign_in: bool = True, width: int = 1280, scheme: str = "light", at: str = "") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 850}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda told: complaints.append(told.text) if "Content Security" in told.text else None
        )
        page.goto(at or dashboard.url)
        if sign_in:
            page.get_by_label("Token").fill(SECRET)
            page.keyboard.press("Enter")
            expect(page.locator("#link")).to_have_text("live")
        return page

    expect.set_options(timeout=20_000)
    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def breach(kept: Kept) -> None:
    """Ether falls until the twin's loan is below its floor, and the keeper's action waits for a block."""
    kept.world.set_price("WETH", 1500)
    kept.world.automine(False)
    kept.turn()


def go(page: Any, view: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=view).click()


def test_the_page__signed_in__shows_positions_with_their_gauges_and_history(
    kept: Kept, open_page: Open
) -> None:
    kept.live(5)
    page = open_page()
    cards = page.locator(".card")
    expect(cards).to_have_count(2)
    gauges = page.locator(".gauge svg")
    expect(gauges).to_have_count(2)
    assert gauges.first.get_attribute("aria-label") == "health 1.7999; low 1.4000, target 1.7000, high 2.5000"
    expect(page.locator(".course figcaption").first).to_contain_text("lowest 1.7999, highest 1.7999")
    page.get_by_text("Rule", exact=True).first.click()
    expect(cards.first).to_contain_text("slippage bps")


def test_the_page__when_a_rule_breaches__shows_it_first_without_being_asked(
    kept: Kept, open_page: Open
) -> None:
    kept.live(3)
    page = open_page()
    first = page.locator(".card").first
    expect(first).to_have_attribute("data-verdict", "within")
    breach(kept)
    expect(first).to_have_attribute("data-verdict", "breached")
    expect(first).to_contain_text("health: below the floor")
    expect(first).to_contain_text(kept.world.roles.twin[:8])
    expect(page.locator("#said")).to_contain_text("is breached")
    expect(page).to_have_title("(1) keeper")
    expect(page.locator("#under-way")).to_contain_text("1")
    go(page, "Flights")
    expect(page.locator("#flights .badge")).to_have_text("broadcast")
    kept.world.mine()
    kept.turn()
    expect(page.locator("#flights .badge")).to_contain_text("included")
    page.get_by_text("Story", exact=True).click()
    expect(page.locator(".story")).to_contain_text("broadcast")


def test_the_page__without_the_token__shows_nothing_and_refuses_a_wrong_one(
    kept: Kept, open_page: Open
) -> None:
    kept.turn()
    page = open_page(sign_in=False)
    assert kept.world.roles.owner[:8] not in page.content()
    page.get_by_label("Token").fill("not the token")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("web: this is not the token")
    assert page.evaluate("fetch('/api/state').then(answer => answer.status)") == 401
    page.get_by_label("Token").fill(SECRET)
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_be_visible()
    assert page.evaluate("document.cookie") == ""
    assert SECRET not in page.url
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_hostile_symbol_or_reason__wherever_it_is_shown__stays_text(kept: Kept, open_page: Open) -> None:
    kept.live(2)
    breach(kept)
    kept.tamper(
        "UPDATE intent SET rehearsed_moves = replace(rehearsed_moves, 'WETH', ?), why = ?", HOSTILE, HOSTILE
    )
    kept.tamper("UPDATE outcome SET why = ?", HOSTILE)
    kept.tamper("UPDATE verdict SET why = ?, measure = '<b>health</b>'", HOSTILE)
    kept.tamper("UPDATE turn SET note = ?", HOSTILE)
    page = open_page()
    expect(page.locator(".card .why").first).to_have_text(HOSTILE)
    expect(page.locator("#note")).to_have_text(HOSTILE)
    go(page, "Flights")
    expect(page.locator("#flights .what")).to_contain_text(HOSTILE)
    page.get_by_text("Story", exact=True).click()
    expect(page.locator(".story").first).to_contain_text(HOSTILE)
    go(page, "Search")
    page.get_by_role("searchbox").fill("onerror")
    page.keyboard.press("Enter")
    expect(page.locator("#found .why").first).to_have_text(HOSTILE)
    go(page, "Positions")
    page.get_by_role("link", name="Explain").nth(1).click()
    expect(page.locator("#explained")).to_contain_text(HOSTILE)
    assert page.locator("main script, main img, main b b").count() == 0
    assert "owned" not in page.title()


def test_the_policy__were_markup_to_reach_the_page__would_not_let_it_run(
    kept: Kept, browser: Any, dashboard: Asker
) -> None:
    page = browser.new_page()
    page.goto(dashboard.url)
    code = "try { document.body.innerHTML = '<b>no</b>'; 'written' } catch (error) { error.name }"
    assert page.evaluate(code) == "TypeError"
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://example.org/x'}))"
    )
    refused = page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'refused')")
    assert refused == "refused"
    page.close()


def test_explain__from_a_card_and_from_the_address__tells_the_block(kept: Kept, open_page: Open) -> None:
    kept.live(2)
    breach(kept)
    page = open_page()
    page.locator(".card").first.get_by_role("link", name="Explain").click()
    expect(page.locator("#explained")).to_contain_text("Decided here")
    block = kept.world.node.head().number
    expect(page.locator("#explained")).to_contain_text(f"Block {block}")
    page.get_by_role("link", name="The turn before").click()
    expect(page.locator("#explained")).to_contain_text(f"Block {block - 1}")
    expect(page.locator("#explained")).to_contain_text("health: at or above the floor")
    page.get_by_label("Owner").fill("0x12")
    page.get_by_label("Block, or the newest").fill("")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#explained")).to_contain_text("owner is not an address")


def test_the_page__by_keyboard_alone__is_reached_all_over(kept: Kept, open_page: Open) -> None:
    kept.live(2)
    page = open_page()
    expect(page.locator(".card")).to_have_count(2)
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.trim()"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", reached
        if reached[-1] == "Explain" and len(reached) > 8:
            break
    wanted = ["Skip to the content", "Sign out", "Positions", "Flights", "Search", "Explain"]
    assert reached[:6] == wanted
    assert any(re.match(r"\d+\s+breached", text) for text in reached)
    page.keyboard.press("Enter")
    expect(page.locator("#explained")).to_contain_text("Verdicts")


def test_only_one_kind__asked_for__hides_the_others(kept: Kept, open_page: Open) -> None:
    kept.live(1)
    breach(kept)
    page = open_page()
    page.get_by_role("button", name="breached").click()
    expect(page.locator(".card:visible")).to_have_count(1)
    page.get_by_role("button", name="blind").click()
    expect(page.locator("#no-cards")).to_have_text("No rule is blind now.")
    page.get_by_role("button", name="blind").click()
    expect(page.locator(".card:visible")).to_have_count(2)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pause__pressed_and_confirmed__holds_the_keeper_and_resume_lets_it_go_on(
    kept: Kept, settings: Settings, open_page: Open, scheme: str, width: int
) -> None:
    kept.turn()
    with shown(settings, may_pause=True) as asker:
        page = open_page(width=width, scheme=scheme, at=asker.url)
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("dialog")).to_contain_text("until it is resumed")
        assert flaws(page, f"pause-{scheme}-{width}") == []
        page.get_by_role("button", name="Leave it as it is").click()
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert asker.ask("/api/state").json["latches"] == []
        page.get_by_role("button", name="Pause").click()
        page.get_by_label("Reason").fill(HOSTILE)
        page.keyboard.press("Enter")
        expect(page.locator("#latches")).to_contain_text("Nothing is sent: paused at block")
        expect(page.locator("#latches")).to_contain_text(HOSTILE)
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("dialog").get_by_role("button", name="Resume").click()
        expect(page.locator("#latches")).to_be_hidden()
        expect(page).to_have_title("keeper")


def test_the_page__that_only_reads__offers_no_pause(kept: Kept, open_page: Open) -> None:
    kept.turn()
    page = open_page()
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator("#pause")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view__in_either_light_and_at_either_width__is_accessible_and_fits(
    kept: Kept, open_page: Open, scheme: str, width: int
) -> None:
    kept.live(3)
    breach(kept)
    page = open_page(sign_in=False, width=width, scheme=scheme)
    assert flaws(page, f"enter-{scheme}-{width}") == []
    page.get_by_label("Token").fill(SECRET)
    page.keyboard.press("Enter")
    expect(page.locator(".card .course")).to_have_count(2)
    expect(page.locator(".gauge")).to_have_count(2)
    page.get_by_text("Rule", exact=True).first.click()
    assert flaws(page, f"positions-{scheme}-{width}") == []
    go(page, "Flights")
    page.get_by_text("Story", exact=True).click()
    expect(page.locator(".story")).to_be_visible()
    assert flaws(page, f"flights-{scheme}-{width}") == []
    go(page, "Search")
    page.get_by_role("searchbox").fill("health")
    page.keyboard.press("Enter")
    expect(page.locator("#found .badge").first).to_be_visible()
    assert flaws(page, f"search-{scheme}-{width}") == []
    go(page, "Explain")
    page.get_by_label("Owner").fill(kept.world.roles.twin)
    page.keyboard.press("Enter")
    expect(page.locator("#explained")).to_contain_text("Decided here")
    assert flaws(page, f"explain-{scheme}-{width}") == []


def flaws(page: Any, shot: str) -> list[str]:
    """What axe finds, and whatever sticks out of the window's width."""
    page.wait_for_timeout(100)
    if folder := os.environ.get("KEEPER_SHOTS"):
        page.screenshot(path=Path(folder) / f"{shot}.png", full_page=True)
    page.evaluate((ROOT / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8"))
    told = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    found = [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in told["violations"]]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append(f"{shot}: it is wider than the window")
    return found
