"""Rollout statistics: cohorts, sequential tests, guardrails and the promotion policy. Pure functions."""
