"""One file for each way to fit an instrument."""
