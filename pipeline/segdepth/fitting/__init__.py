"""The lens of a film."""
