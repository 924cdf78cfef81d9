"""How far a coreset's loss is from the full set's around a network: differences, worst cases, certificates."""
