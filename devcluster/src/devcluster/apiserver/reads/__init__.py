"""Lists, watches and tables: what is selected, and the form in which a client sees it."""
