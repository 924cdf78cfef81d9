"""What joins the parts: a proxy is trained, a coreset selected, a network retrained on it."""
