"""Files to rows: csv, json and parquet, from a folder or the Hub, kept by what they hold."""
