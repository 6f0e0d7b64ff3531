"""What the workflow's jobs cost, and whether a cluster takes them."""
