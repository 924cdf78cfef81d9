"""What every stage of a run stands on: arguments, data, training, records. Knows nothing of methods."""
