"""One machine's own broker, processes and free ports, for up, demo, tests and proofs."""
