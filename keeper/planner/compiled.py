"""numba's one door: functions compiled to machine code, and kept until any source they could be made of has changed.

numba keeps what it compiled beside a fingerprint of the one file a function stands in, and would go on using it after a
judgement inlined from another room had changed. So the folder it keeps things in is named by all those rooms' sources.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])

_ROOMS: Final = ("domain", "judge", "size", "planner")


def compiled(function: F) -> F:
    """The function as machine code that runs beside other threads, with NaN and inf where Python would raise."""
    config: Any = numba.config
    ours, config.CACHE_DIR = config.CACHE_DIR, config.CACHE_DIR or str(_kept())
    try:
        fast: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = ours
    return cast(F, fast)


@cache
def _kept() -> Path:
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(numba.__version__.encode())
    for room in _ROOMS:
        for path in sorted((package / room).rglob("*.py")):
            digest.update(path.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "keeper" / f"compiled-{digest.hexdigest()[:16]}"
