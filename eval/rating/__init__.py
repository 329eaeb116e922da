"""People rate labels: the study, its ratings, and the page they are given on."""

from conceptbench.eval.rating.ratings import Rating, read_ratings, write_ratings

__all__ = ["Rating", "read_ratings", "write_ratings"]
