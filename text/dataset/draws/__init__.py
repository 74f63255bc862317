"""Draws: which rows of a data set are for training, for validation and for the test."""
