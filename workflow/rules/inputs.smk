"""What rules ask for: the files that belong to a name of the configuration (`segdepth.steps.layout`)."""

from functools import wraps

from segdepth.steps.layout import Layout, distinct, manifests, repeated
from segdepth.store.remaking import told_options
from segdepth.store.run_record import OPTIONS

# for jobs, whose messages say how to make an artefact again
os.environ[OPTIONS] = told_options(workflow.overwrite_configfiles, Path(workflow.main_snakefile), Path.cwd())

if not workflow.is_main_process:

    def code_hash(*given):
        """The Snakemake of a cluster's job compares nothing, and need not read the package's code."""
        return ""


GPU = 1 if cfg.device == "cuda" else 0
"""GPUs that a job asks a cluster for; `device: auto` takes one if the machine has it, and asks for none."""

LIGHT_DEVICE = "cpu" if cfg.device == "cpu" else "auto"
"""For rules that ask for no GPU, since they need none: what the machine they land on has."""


def asked(method):
    """A method of the layout; its ConfigError is reported in one line, like those of the whole configuration."""

    @wraps(method)
    def answer(*given):
        try:
            return method(*given)
        except ConfigError as failure:
            refuse(failure)

    return answer


def prediction_lens(name):
    """The fit of the lens that a prediction is joined with, if there is one."""
    fit = cfg.predictions[name].lens_fit
    return [] if fit is None else [f"results/lens_fits/{fit}.json"]


layout = Layout(cfg)
as_json = layout.as_json
crystal_of = layout.crystal_of
structure_file = layout.structure_file
plan_of = layout.plan_of
atoms_shards = layout.atoms_shards
wave_shards = layout.wave_shards
image_shards = layout.image_shards
depth_shards = layout.depth_shards
blocks_of = layout.blocks_of
network_of = asked(layout.network_of)
evaluated_network = asked(layout.evaluated_network)
exported_evaluations = asked(layout.exported_evaluations)
training_shards = layout.training_shards
familiar_shards = asked(layout.familiar_shards)
training_options = layout.training_options
init_weights_of = layout.init_weights_of
micrograph_structure = layout.micrograph_structure
micrograph_waves = layout.micrograph_waves
micrograph_input = layout.micrograph_input
micrograph_options = layout.micrograph_options
adapted_from = asked(layout.adapted_from)
adaptation_input = layout.adaptation_input
adaptation_options = layout.adaptation_options
lens_fit_options = layout.lens_fit_options
comparison_waves = layout.comparison_waves
comparison_structure = layout.comparison_structure
figure_evaluation = asked(layout.figure_evaluation)
montage_shards = layout.montage_shards
tabulated = layout.tabulated
table_evaluations = layout.table_evaluations
table_models = layout.table_models
table_observers = layout.table_observers
yardstick_folders = asked(layout.yardstick_folders)
yardstick_observers = layout.yardstick_observers
benchmark_evaluations = asked(layout.benchmark_evaluations)
benchmark_observer = asked(layout.benchmark_observer)
study_blocks = asked(layout.study_blocks)
study_atoms = asked(layout.study_atoms)
targets = layout.targets
