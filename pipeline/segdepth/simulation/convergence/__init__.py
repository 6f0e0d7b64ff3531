"""The convergence study: accuracy and cost of each choice of beam and imaging."""
