"""The tensors of BERT checkpoints that other programs wrote: PyTorch, safetensors and TensorFlow 1."""
