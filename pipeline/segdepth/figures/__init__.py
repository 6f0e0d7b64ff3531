"""One module per figure, listed in ``registry``. Each draws what is stored: data in, a Matplotlib figure out."""
