"""Online serving: HTTP API, gateways, telemetry, the local stack, and the analysis of rollout steps.

A serving process loads numpy and a fitted model, but no library for tracking, training or data frames.
"""
