"""Files that PyTorch wrote, read without it."""
