"""Fitted models as they are served: arrays, manifest, id index, fold-in and genre affinity."""
