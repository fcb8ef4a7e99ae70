"""Jobs spread over cores or a cluster: the same answers whatever runs them, handed back as they come.

Assumes: a job's answer depends on its arguments alone, so that serial, threads, processes and machines agree bit for
bit; what is random in it is drawn from its own number (`bootstrap.stationary_indices`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final, Literal, TypeVar

import joblib

from keeper.domain.errors import Misconfigured

Backend = Literal["serial", "threading", "loky", "dask"]
"""Where jobs run: here, on threads (the kernels hold no lock), in processes, or on the dask cluster connected to."""

J = TypeVar("J")
S = TypeVar("S")
A = TypeVar("A")

_WAVE: Final = 32


def spread(
    work: Callable[[S, J], A], shared: S, jobs: Sequence[J], backend: Backend = "threading", workers: int = -1
) -> Iterator[tuple[J, A]]:
    """Each job with its answer, in any order; `shared` is sent to every worker once.

    `workers` of -1 are as many as there are cores, or as the cluster has.
    """
    if backend == "serial":
        for job in jobs:
            yield job, work(shared, job)
    elif backend == "dask":
        # joblib's dask gives nothing back before all is done: waves, so that what is done can be kept.
        with joblib.parallel_config(backend="dask", scatter=[shared]):
            left = iter(jobs)
            while wave := list(islice(left, _WAVE)):
                yield from joblib.Parallel()(joblib.delayed(_told)(work, shared, job) for job in wave)
    else:
        with joblib.parallel_config(backend=backend, n_jobs=workers):
            run = joblib.Parallel(return_as="generator_unordered")
            yield from run(joblib.delayed(_told)(work, shared, job) for job in jobs)


@contextmanager
def cluster(address: str, patience: float = 10.0) -> Iterator[None]:
    """Connect to a dask scheduler within `patience` seconds, for as long as jobs go there."""
    try:
        # An extra that only a cluster's user needs.
        from distributed import Client  # noqa: PLC0415
    except ImportError as error:
        raise Misconfigured(
            f"plan: a dask cluster needs distributed; install the extra `cluster` ({error})"
        ) from error
    try:
        client = Client(address, timeout=patience)
    except (OSError, ValueError, TimeoutError) as error:
        raise Misconfigured(f"plan: no dask scheduler answers at {address} ({error})") from error
    with client:
        yield


def _told(work: Callable[[S, J], A], shared: S, job: J) -> tuple[J, A]:
    return job, work(shared, job)
