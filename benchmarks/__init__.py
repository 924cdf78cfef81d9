"""Speed and memory against named peers, as ratios in one run."""

import utils  # noqa: F401  # before torch: see there
