"""Labelled data sets: the options of their source, their rows, and their splits."""
