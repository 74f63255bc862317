"""What a model is worth: its figures, the baseline beside it, its pictures and its report."""
