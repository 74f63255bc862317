"""The settings of each training, one field an option, without Keras or NumPy."""
