"""What the end-to-end tests of the runner share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """An empty root to put videos into, and a place for scripts."""
    (tmp_path / "root").mkdir()
    (tmp_path / "scripts").mkdir()
    made = Fleet(tmp_path / "root", tmp_path / "scripts", mark=str(tmp_path))
    yield made
    made.close()
