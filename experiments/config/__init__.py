"""params.yaml as typed, frozen blocks."""
