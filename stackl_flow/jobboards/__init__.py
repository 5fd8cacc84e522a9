"""Job boards: durable queues of jobs that conductors on any machine claim."""
