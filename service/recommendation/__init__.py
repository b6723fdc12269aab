"""Recommendation logic: the fallback chain over a loaded model, item availability and recent activity."""
