"""From a data file or a data set of the Hub to a manifest: look at its columns, and propose what to train with."""
