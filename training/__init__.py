"""Training: what turns integers into weights."""
