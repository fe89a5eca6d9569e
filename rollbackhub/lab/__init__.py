"""A small real staging world: Envoy gateways, model servers and traffic, so that drills run against real systems.

What is real: the gateways (Envoy), how routes reach them (xDS), every HTTP request through them, and all counters.
What is simulated: the users, their load, their feedback, and what the models answer and how long that takes.
"""
