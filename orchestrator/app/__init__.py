"""Builds the adapters and hands them to gateway and workers; the only place that does.

One module for each kind of process, so that none loads what it does not use. Each opens
what it needs, says that it is ready, works until SIGTERM, finishes what is in hand and
returns.
"""
