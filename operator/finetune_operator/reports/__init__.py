"""The HTTPS endpoint that training pods report to: who may send, what is accepted, and the latest report of each job."""
