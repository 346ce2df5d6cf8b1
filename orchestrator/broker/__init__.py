"""The room that speaks AMQP: topology, publishing, settling, draining.

Read `topology` first, then the two ways in (`consuming`, one message at a time, and
`batches`) and the way out (`publishing`).
"""
