"""The attempts of a job, and what it has used in them."""
