"""Durable session chains on RabbitMQ: rules, ports, adapters and the processes."""
