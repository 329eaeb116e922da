"""The methods that tasks measure, usable without a harness: SASC, Proto-lm, probes, rankings of neurons."""
