"""The contract between the processes and with the outside world."""
