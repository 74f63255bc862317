"""BERT checkpoints that other programs wrote: their files, their tensors, and our weights made of these."""
