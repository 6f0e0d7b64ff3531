"""How exact each choice of beam and imaging is, and what it costs: cases, their images, and the job that measures
them."""
