"""What is written of runs, and read again: folders, tables, plots, exports."""
