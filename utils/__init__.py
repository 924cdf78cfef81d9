"""What every stage of a run stands on: arguments, data, training, records. Knows nothing of methods."""

import os

# Without huge pages the first touch of every large tensor costs a CPU as much as the work on it. Torch reads this once,
# at its first allocation; it changes nothing but speed, and a value of the user's own stands.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
