"""The loans' own stages, for markets that the devnet's world has not."""

from __future__ import annotations

from tests.contracts.stages import either_aave, stages

__all__ = ["either_aave", "stages"]
