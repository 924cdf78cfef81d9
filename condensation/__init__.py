"""Dataset condensation: learn the pixels of a small synthetic set (LCMat-C, DC, DSA, DM)."""

import utils  # noqa: F401  # before torch: see there
