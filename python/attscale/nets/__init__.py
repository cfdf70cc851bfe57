"""The nets as NetSpec functions: they take tops and give tops, and never see a data set."""
