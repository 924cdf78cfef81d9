"""The ground that every stage of a run stands on: data, training, records; it knows nothing of methods."""

import os

# A CPU spends much of its time with large tensors on the first touch of fresh memory, which costs a quarter in huge
# pages. Torch reads this at its first allocation; it changes nothing but speed, and a value of the user's own stands.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# Threads that share an operation wait for each other by spinning before they sleep. Where other work has the cores,
# each spins away the time that the other needs. GNU's OpenMP, torch's on Linux, reads this when torch is loaded, so the
# other packages import this one before torch; a program that loads torch first keeps the long spinning.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
