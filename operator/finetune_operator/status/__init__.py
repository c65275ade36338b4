"""The status of a FineTuneJob, computed from what is observed and from the time. Pure: no request, no clock."""
