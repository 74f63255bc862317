"""What all training shares: batches, the loop over epochs, checkpoints, the optimizer."""
