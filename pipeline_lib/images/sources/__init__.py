"""Where images come from: folders, Parquet files, data sets by name."""
