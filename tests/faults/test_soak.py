"""The soak's short form: one process through some rounds of faults; and that what grows, or drifts, is found out."""

from __future__ import annotations

from tests.faults.campaign import soak as soaked
from tests.faults.campaign.soak import Sample, grown_too_much, memory_of, soak


def test_f6_a_keeper__under_faults_for_long__stays_as_small_as_it_was_and_agrees_with_the_chain() -> None:
    told = soak(blocks=60, seed=7)
    assert told["violations"] == []
    assert told["rounds"] >= 3
    assert told["faults"] >= told["rounds"]
    assert told["journal"]["flights"] >= 3 * told["rounds"]
    assert told["memory"]["warm_kib"] > 20_000
    assert told["journal"]["turns"] <= soaked.KEEP_BLOCKS + told["journal"]["flights"]


def test_memory__that_grows_round_by_round__is_found_out_and_a_plateau_is_not() -> None:
    rising = [Sample(n, 90_000 + 100 * n, 0) for n in range(300)]
    flat = [Sample(n, 90_000 + min(100 * n, 9_000) + n % 7 * 100, 0) for n in range(300)]
    assert grown_too_much(memory_of(rising))
    assert not grown_too_much(memory_of(flat))
    assert memory_of(flat[:2]) == {"warm_kib": 0, "end_kib": 0, "grown_kib": 0}
