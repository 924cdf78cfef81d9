"""Greedy maximisation of set functions over pairwise distances."""
