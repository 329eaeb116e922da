"""Submissions, verification, ranking, the page."""
