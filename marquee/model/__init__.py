"""The fitted model that is served: arrays, manifest, id index and scorers."""
