"""The preflight: checks a run and estimates what it will be, before its first step."""
