"""Look at a `.keras` file that somebody else may have written, before Keras builds or reads anything of it."""
