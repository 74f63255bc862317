"""The report page of a classifier, of one that was just trained or of any model file: `python -m recipes.report`."""
