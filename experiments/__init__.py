"""What joins the parts: a proxy is trained, a coreset selected, a network retrained on it."""

import utils  # noqa: F401  # before torch: see there
