"""The neurons task: which neurons carry a concept, do wider concepts share them, and does the probe need them?"""
