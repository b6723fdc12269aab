"""Rollout statistics: from events to a decision.

    events ─► observation_collector ─► accumulator ─► evidence ─► policy ─► decision
              users                     tests                      rules

`observation_collector` counts each user once, `accumulator` feeds the counts to the tests of `alarms` and
`sequential_tests`, `policy.decide` turns the evidence into a decision, and `state` replays the journal of a
rollout. Nothing here does I/O.
"""
