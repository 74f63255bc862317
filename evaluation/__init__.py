"""The metrics of a model, the baseline to compare it with, its plots and its report."""
