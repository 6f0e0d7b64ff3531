"""How exact each choice of beam and imaging is, and what it costs: cases, their waves and images, and the table."""
