"""DVC stages, one module each: read files, call the domain, write files."""
