"""Metrics of predictions and top-N lists: error, ranking, beyond accuracy, rank overlap, segments."""
