"""The stages these tests play on."""

from __future__ import annotations

from tests.contracts.stages import any_stage, stage, stages

__all__ = ["any_stage", "stage", "stages"]
