"""The checked configuration, `cfg`. Errors in it are reported in one line, before any job."""


def refuse(failure):
    """One line and no traceback, before any job."""
    sys.stderr.write(f"segdepth: error: {failure}\n")
    sys.stderr.flush()
    os._exit(2)


# Snakemake's own reader keeps the last of two equal keys, and tells mistakes at length
try:
    if not isinstance(read_yaml("config.yaml"), dict):
        raise ConfigError("config.yaml: is empty or no mapping of keys to values")
except SegDepthError as failure:
    refuse(failure)


configfile: "config.yaml"


try:
    cfg = validate(Config, config, "config.yaml")
    check_config(cfg)
except SegDepthError as failure:
    refuse(failure)
