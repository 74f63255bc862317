"""Text without labels, made ready for pre-training: a vocabulary of it, packed rows, hidden tokens."""
