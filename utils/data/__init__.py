"""Data sets and small sets: what images there are, and which of them are kept."""
