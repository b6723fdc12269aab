"""Control of rollouts: the loop that observes, decides and acts, and the files that it keeps.

    events, gateways ─► observer ─► marquee.rollout.policy ─► controller ─► actuator ─► gateways, replicas
                                                              │      │
                                                           journal  reporter ─► status file, MLflow

The controller uses observer, actuator and reporter through the protocols in `interfaces`.
`observer_checkpoint` saves the counts of the observer. `alarm_self_test` and `failure_log_check` are the
preflight checks, which run before a rollout starts.
"""
