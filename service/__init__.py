"""Online serving. Loads a fitted model and numpy, but no tracker, trainer or data frame library."""
