"""The labels of rows: those of the source, and those that a reader has corrected."""
