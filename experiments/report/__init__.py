"""Report of a search: a single HTML file that works offline and can be sent to a colleague."""
