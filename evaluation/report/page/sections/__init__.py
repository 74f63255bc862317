"""The sections of the report page, a file for each question that they answer."""
