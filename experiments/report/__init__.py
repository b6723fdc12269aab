"""The report of a search: one HTML file that opens anywhere, offline, and can be sent to a colleague."""
