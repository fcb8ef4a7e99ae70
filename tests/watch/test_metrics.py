"""The numbers Prometheus reads: from a real keeper's journal, under the names that alerts are written against."""

from __future__ import annotations

import time

from prometheus_client.parser import text_string_to_metric_families

from keeper.settings import Settings
from tests.watch.conftest import Asker, Kept, shown

Numbers = dict[tuple[str, ...], float]


def numbers(asker: Asker) -> Numbers:
    """Every sample by its name and labels' values."""
    told = asker.ask("/metrics")
    assert told.status == 200
    assert told.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(told.body.decode())
        for sample in family.samples
    }


def test_metrics__of_a_keeper_that_acted__count_turns_verdicts_flights_gas_and_balance(
    kept: Kept, dashboard: Asker
) -> None:
    world = kept.world
    kept.live(2)
    world.set_price("WETH", 1500)
    kept.turn()
    kept.turn()
    before = numbers(dashboard)
    assert before["keeper_verdicts", "within"] == 2
    assert before["keeper_flights", "included"] == 1
    assert before["keeper_gas_spent_ether_total", "final"] == 0
    for _ in range(3):
        world.mine(blocks=40)
        kept.turn()
    dashboard.until(lambda state: state["balances"])
    after = numbers(dashboard)
    assert after["keeper_flights", "final"] == 1
    assert after["keeper_flights", "included"] == 0
    assert 0 < after["keeper_gas_spent_ether_total", "final"] < 0.1
    spent = 10_000 - after["keeper_balance_ether", world.roles.keeper]
    assert abs(spent - after["keeper_gas_spent_ether_total", "final"]) < 1e-3
    assert after["keeper_turns_total",] == before["keeper_turns_total",] + 3
    assert after["keeper_last_turn_block",] == world.node.head().number
    assert (after["keeper_node_up",], after["keeper_journal_up",]) == (1, 1)


def test_seconds_since_the_last_turn__with_every_turn__begin_anew(kept: Kept, dashboard: Asker) -> None:
    kept.turn()
    number = dashboard.until(lambda state: state["block"])["block"]["number"]
    time.sleep(1.5)
    assert numbers(dashboard)["keeper_seconds_since_last_turn",] > 1.2
    kept.live(1)
    dashboard.until(lambda state: state["block"]["number"] > number)
    assert numbers(dashboard)["keeper_seconds_since_last_turn",] < 1.2


def test_metrics__without_journal_and_node__say_so_and_invent_nothing(settings: Settings) -> None:
    chain = settings.chain.model_copy(update={"url": "http://127.0.0.1:9"})
    with shown(settings.model_copy(update={"chain": chain})) as asker:
        asker.until(lambda state: state["outlook"]["trouble"])
        told = numbers(asker)
    assert (told["keeper_node_up",], told["keeper_journal_up",]) == (0, 0)
    assert set(told) == {
        ("keeper_node_up",),
        ("keeper_journal_up",),
        ("keeper_seconds_since_last_turn",),
    }
