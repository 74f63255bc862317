"""Analyses beyond a test: of labels, and of what else may be wrong with data or model."""
