"""Stack: all processes on one machine, started and restarted by a supervisor.

StackConfig ──► circus_supervisor.py ──► exec_launcher.py ──► gateways, replicas, controller, watchdogs
stack.json      circus                   each launcher process is replaced with its program (exec)
arms.json       the Bento and model version of each arm
"""
