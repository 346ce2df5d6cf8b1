"""What promises are proved with: installations, endpoints and loads that are real.

A proof is a command (`chainctl prove NAME`, `make NAME`): it starts what it needs, prints
the broker's version, a table for people and, as its last line, one JSON object with its
figures. It exits with 1 when a promise is broken, and leaves nothing running.
"""
