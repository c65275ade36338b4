"""Where models, data and the output lie: on this machine, in buckets, on the Hub."""
