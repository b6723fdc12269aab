"""Online: what answers. Loads a fitted model and numpy, never a tracker, a trainer or a data frame."""
