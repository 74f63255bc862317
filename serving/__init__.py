"""Serving: what turns a trained model's weights into answers."""
