# SPDX-License-Identifier: Apache-2.0
"""Run a method in a process of its own, for a test that kills it: ``python -m tests.runs METHOD SITES RUN SETTINGS``.

SETTINGS is a JSON file. With a fifth word, a folder, that is the server's public set.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.settings import Settings
from tests.runs.commands import BUNDLES


def main(method: str, sites: str, run: str, settings: str, public: str = "") -> int:
    """Run it; return 0 for a complete run."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values = Settings.from_dict(json.loads(Path(settings).read_text()))
    layout = SimulatedSites(Path(sites), Path(run), BUNDLES, public=Path(public) if public else None)
    return 0 if simulate_locally(method, values, layout) == "complete" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
