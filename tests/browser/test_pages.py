# SPDX-License-Identifier: Apache-2.0
"""Report and documents in a real browser: axe finds nothing serious, and nothing is wider than a phone.

`make page-test` fetches axe and what drives the browser from npm, and makes the documents. PAGE_PICTURES=DIR keeps
screenshots.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from dsfedmed.reporting.report import build_report
from tests.reporting.conftest import fake_record, write_run

pytestmark = pytest.mark.browser
HERE = Path(__file__).parent
DOCUMENTS = HERE.parents[1] / "build" / "docs"
WIDTHS, SCHEMES = (1280, 390), ("light", "dark")
PAGES = ("report", "start", "tutorial", "results")
PICTURE = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
FAULTS = {
    "image-alt": f'<img src="{PICTURE}">',
    "color-contrast": '<p style="color:#999;background:#fff">grey</p>',
    "too wide": '<div style="width:900px">wide</div>',
}
Look = Callable[[dict[str, str]], dict[tuple[str, int, str], dict[str, Any]]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("browser") / "run", fake_record(), pictures=True)
    build_report(run)
    return run / "report.html"


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Return a function that looks at pages by name at all widths and in all schemes."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser is not None, "install chromium"
    pictures = os.environ.get("PAGE_PICTURES")

    def look_at(pages: dict[str, str]) -> dict[tuple[str, int, str], dict[str, Any]]:
        keys = [(name, width, scheme) for name in pages for width in WIDTHS for scheme in SCHEMES]
        asked = [
            {
                "url": pages[name],
                "width": width,
                "scheme": scheme,
                "picture": str(Path(pictures) / f"{name}_{width}_{scheme}.png") if pictures else None,
            }
            for name, width, scheme in keys
        ]
        job = tmp_path_factory.mktemp("job") / "job.json"
        job.write_text(json.dumps({"browser": browser, "pages": asked}))
        done = subprocess.run(
            ["node", str(HERE / "look.mjs"), str(job)], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(zip(keys, json.loads(done.stdout), strict=True))

    return look_at


@pytest.fixture(scope="module")
def documents() -> Iterator[str]:
    """Serve the documents on this machine alone, and return their address."""
    assert (DOCUMENTS / "index.html").is_file(), "run `make docs` first"

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(DOCUMENTS)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def found(look: Look, report: Path, documents: str) -> dict[tuple[str, int, str], dict[str, Any]]:
    pages = ("", "/tutorials/first_run/", "/results/")
    return look(dict(zip(PAGES, (report.as_uri(), *(documents + page for page in pages)), strict=True)))


def luminance(colour: str) -> float:
    """Return the mean of a colour such as "rgb(255, 255, 255)", 0 to 1."""
    values = [float(value) for value in re.findall(r"[\d.]+", colour)[:3]]
    return sum(values) / (3 * 255)


def severe(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [fault for fault in page["violations"] if fault["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page(found: dict[tuple[str, int, str], dict[str, Any]], name: str, width: int, scheme: str) -> None:
    page = found[name, width, scheme]
    assert page["passes"] > 10
    assert (luminance(page["ground"]) < 0.3) == (scheme == "dark"), page["ground"]
    assert not severe(page), json.dumps(severe(page), indent=1)
    assert page["reaches"] <= width


def test_planted_faults_are_found(look: Look, report: Path, tmp_path: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert text.count("</main>") == 1
    (tmp_path / "faults.html").write_text(text.replace("</main>", f"{''.join(FAULTS.values())}</main>"))
    pages = look({"faults": (tmp_path / "faults.html").as_uri()})
    for (_, width, _), page in pages.items():
        assert {"image-alt", "color-contrast"} <= {fault["id"] for fault in severe(page)}
        assert (page["reaches"] > width) == (width == 390)
