"""Caffemodels: read and written, put into nets, converted, imported, fetched."""
