"""Examples to samples: pictures at the run's size with their conditions, packed, counted and described."""
