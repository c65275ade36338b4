"""The processes of a run: how they start, meet, decide together and end."""
