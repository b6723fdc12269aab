"""The plots of a search: each answers one question, with labels and units, and reads in light and in dark."""
