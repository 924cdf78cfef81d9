"""Losses of coresets around a trained network, beside the full set's: surfaces, worst cases, and what they foretell."""
