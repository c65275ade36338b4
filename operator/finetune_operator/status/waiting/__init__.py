"""Why a job waits, and for how long it may."""
