"""Domain: interactions, algorithms, metrics, models, events and rollout statistics. No server, no tracker."""
