"""The batches of a training, as NumPy arrays."""
