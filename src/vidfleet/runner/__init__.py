"""One run: discover, plan, execute, record, report."""

from __future__ import annotations

from vidfleet.runner.run import run

__all__ = ["run"]
