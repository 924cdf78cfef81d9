"""What every stage of a run stands on: arguments, data, training, records, reports. Knows nothing of methods."""
