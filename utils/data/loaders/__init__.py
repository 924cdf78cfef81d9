"""Loaders of data sets, one file for each source of images."""
