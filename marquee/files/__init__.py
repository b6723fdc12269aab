"""Files that survive crashes: atomic writes, append-only journals, locks and digests."""
