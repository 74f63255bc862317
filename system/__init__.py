"""What every program needs from the machine and the terminal: errors, options, files. No NumPy, no Keras."""
