"""Gateways: HAProxy in front of the replicas; splits traffic between the arms and logs failed requests.

SiteConfig, GatewayConfig ──► haproxy.cfg.j2 ──► haproxy -c ──► two HAProxy processes on one port
config.py                                              ▲ salt, allocation, drain   │ failed and slow requests
                                                traffic_split.py             failure_log.py
"""
