"""Captions: a data set's own, BLIP's or a file's; one tidy text for each picture."""
