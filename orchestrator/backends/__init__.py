"""Session systems behind one port, a room for each."""
