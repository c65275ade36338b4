"""In which phase a job is, and the one line that explains it."""
