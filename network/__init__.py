"""The models and the file that they live in. Knows no training."""
