"""Write a trained classifier for other runtimes."""
