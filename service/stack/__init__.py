"""Stack: all processes on one machine, started and restarted by a supervisor.

StackConfig ──► supervisor.py ──► launch.py ──► gateways, replicas, controller, watchdogs
stack.json      circus            each becomes its program: no shell or parent process in between
arms.json       the Bento and model version of each arm
"""
