"""The fixtures of web_fixtures, and where the tests find what stands beside them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from web_fixtures import app, browser, furnished, project, store  # noqa: F401
