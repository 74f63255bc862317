"""Distillation: texts that teachers label, now or before, and new texts for them."""
