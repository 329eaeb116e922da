"""Proto-lm (Xie et al. 2023): classifiers that decide by their similarity to learned prototypes."""
