"""Floating-point numbers of checkpoints as float32."""

import numpy as np

# NumPy has no bfloat16: the upper half of a float32. PyTorch and the `ml_dtypes` of TensorFlow describe it like this.
BFLOAT16 = np.dtype("V2")


def as_float32(values: np.ndarray) -> np.ndarray:
    """Return floating-point values, bfloat16 included, as float32, and values of other types unchanged."""
    if values.dtype.kind == BFLOAT16.kind and values.itemsize == BFLOAT16.itemsize:
        return (values.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values
