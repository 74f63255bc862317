"""The report page: what a test says about a classifier, as one HTML file that needs no other file and no script."""
