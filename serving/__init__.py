"""Serving: from the weights of a trained model to predictions."""
