"""What Prometheus scrapes: the instruments, what a job's life adds to them, and what is counted when it is asked for."""
