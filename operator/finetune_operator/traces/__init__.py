"""Traces of OpenTelemetry, where they are switched on: what a job's life, its passes and its reports add to its one trace."""
