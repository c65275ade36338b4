"""A FineTuneJob and what belongs to it, as frozen values read from the API's dicts. Pure: no request, no clock."""
