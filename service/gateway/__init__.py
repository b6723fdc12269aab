"""The gateways: HAProxy in front of the replicas, who gets which arm, and what fails.

Site ──► haproxy.cfg.j2 ──► haproxy -c ──► two processes on one port
  configuration.py                            ▲ weight, salt, drain     │ failures
                                         steering.py                failures.py
"""
