"""Recommendation logic: the fallback chain over a loaded model, availability and recent activity."""
