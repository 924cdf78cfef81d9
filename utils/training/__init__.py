"""One training loop for proxies, coresets and condensed sets, and what it needs."""
