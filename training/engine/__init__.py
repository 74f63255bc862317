"""What every training shares: batches, the loop over epochs, checkpoints, optimizers."""
