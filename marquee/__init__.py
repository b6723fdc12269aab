"""The domain: what ratings and models are. No tracker, no server, no files but its own artefacts."""
