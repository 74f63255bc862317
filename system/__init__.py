"""What every program needs from machine and terminal: errors, options, files. Knows no text, no NumPy, no Keras."""
