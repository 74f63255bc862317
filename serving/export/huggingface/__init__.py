"""Write a model as a folder that other programs can load, after the habits of the Hugging Face hub."""
