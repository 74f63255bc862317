"""What a test says beyond its metrics: how sure they are, for which texts they hold, and what else may be wrong."""
