"""Gateways: HAProxy in front of the replicas; splits traffic between the arms and logs failed requests.

haproxy_config.py      renders haproxy.cfg.j2 for two HAProxy processes on one port, and checks it
api_keys.py            digests of the API keys that the gateways accept
traffic_split.py       sets salt and allocation while the gateways run
haproxy_socket.py      queries and drains replicas while the gateways run
failure_log.py         reads the failed and slow requests that the gateways log
keepalived.py          shared IP address of two hosts with gateways
"""
