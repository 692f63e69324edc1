"""Where the learning tests find their tasks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
