"""The ground that every stage of a run stands on: data, training, records; it knows nothing of methods."""

import os

# A CPU spends much of its time with large tensors on the first touch of fresh memory, which costs a quarter in huge
# pages. Torch reads this at its first allocation; it changes nothing but speed, and a value of the user's own stands.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
