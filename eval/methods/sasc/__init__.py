"""SASC (Singh et al. 2023): a text module is summarised in words, and the summaries are tested on written strings."""
