"""A predicted crystal held against its picture: expected electrons, residuals, counts refined by them."""
