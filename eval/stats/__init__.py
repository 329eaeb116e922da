"""Intervals, agreement and paired tests over items that come in groups."""
