"""A network tuned to one film: the lens fit's values and errors as narrow blocks of a configuration."""
