"""The documents as a site: it is built without one warning, and what it makes out of the code is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make site` builds it: strictly, so that a link that leads nowhere is an error."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--site-dir", str(folder)], cwd=ROOT, check=True
    )
    return folder


def test_every_document__of_the_repository__is_a_page(site: Path) -> None:
    docs = ROOT / "docs"
    written = {path.relative_to(docs).with_suffix("") for path in docs.rglob("*.md")}
    written |= {Path("index"), Path("contributing")}
    assert written <= {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("commands", "keeper-rule-set"),
        ("settings", "limits"),
        ("rules", "kind-basket"),
        ("chains", "arbitrum-one"),
        ("contracts", "loanthresholds"),
        ("python", "keeper.judge.loan_health.judge"),
        ("python", "keeper.turn"),
    ],
)
def test_a_page_made_from_the_code__has_what_the_code_has(site: Path, page: str, heading: str) -> None:
    html = (site / "reference" / f"{page}.html").read_text(encoding="utf-8")
    assert f'id="{heading}"' in html


def test_nothing_on_a_page__is_fetched_from_elsewhere(site: Path) -> None:
    html = (site / "index.html").read_text(encoding="utf-8")
    fetched = re.findall(r'(?:<script[^>]*src|<link[^>]*stylesheet[^>]*href|<img[^>]*src)="([^"]+)"', html)
    assert fetched
    assert [address for address in fetched if "//" in address] == []
