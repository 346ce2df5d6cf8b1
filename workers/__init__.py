"""The processes that consume: decode, decide, act, settle."""
