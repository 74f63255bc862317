"""Run a trained network: with ONNX Runtime if there is a file for it, else with Keras."""
