"""What runs a trained network: ONNX Runtime where there is a file for it, else Keras."""
