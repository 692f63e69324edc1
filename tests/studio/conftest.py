"""The fixtures of the web tests, and where the tests find them, studio_work and dashboard_work."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "web")]

from web_fixtures import app, browser, furnished, project, store  # noqa: E402, F401
