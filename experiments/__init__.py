"""Offline experiments: data sets, hyperparameter search, evaluation, selection, tracking and reports."""
