"""What a classifier is trained for: the loss, the weights of the texts, the loss over documents, R-Drop and FGM."""
