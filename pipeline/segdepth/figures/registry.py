"""Every figure: what it is called, what it shows, what it is drawn from, and the module that draws it.

A new figure is a module with a function ``draw`` and an entry here. Of a figure that is drawn from an evaluation
(``source="evaluation"``), ``dataset_field`` names the key of the ``figures:`` block that holds the data set.
Nothing is imported here: the workflow reads this list before any job.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FigureEntry:
    """One figure: its name and module, its source, a title for lists and a caption for the report."""

    name: str
    source: str
    title: str
    caption: str
    dataset_field: str | None = None

    @property
    def module(self) -> str:
        return f"segdepth.figures.{self.name}"


ENTRIES = (
    FigureEntry(
        "fig1_depth",
        "evaluation",
        "depth, noisy image, estimate and confidence of a test image (SegDepth, Fig. 1)",
        "The depth of a test structure, its noisy image, the network's estimate and its confidence at each pixel "
        "(SegDepth, Fig. 1). Vacuum is up. Network, data set, structure, defocus and λ are in the figure.",
        "dataset",
    ),
    FigureEntry(
        "fig3_simulation",
        "evaluation",
        "depth maps, and images without and with shot noise (SegDepth, Fig. 3)",
        "Depth maps (left) and the images formed from the same structures without and with shot noise "
        "(SegDepth, Fig. 3). Data set and λ are in the figure.",
        "dataset",
    ),
    FigureEntry(
        "fig4_smoothing",
        "evaluation",
        "projected counts beside smoothed depth (SegDepth, Fig. 4)",
        "Atoms counted in projection, and the smoothed depth whose rings the network learns, where the crystal is "
        "thickest (SegDepth, Fig. 4). Structure and data set are in the figure.",
        "dataset",
    ),
    FigureEntry(
        "fig5_weights",
        "evaluation",
        "the weight of each pixel in the training loss (SegDepth, Fig. 5)",
        "Weight of each pixel in the training loss: 1 at column centres, falling to a floor in the background "
        "(SegDepth, Fig. 5). Structure and data set are in the figure.",
        "dataset",
    ),
    FigureEntry(
        "fig6_confusion",
        "evaluation",
        "true against estimated depth (SegDepth, Fig. 6)",
        "True against estimated depth at the dose named in the figure (SegDepth, Fig. 6): over all pixels of the test "
        "structures, and over those that are nearest to columns of each element. Rows sum to 1; in brackets the number "
        "of pixels of each true depth.",
        "confusion_dataset",
    ),
    FigureEntry(
        "fig7_calibration",
        "evaluation",
        "confidence against accuracy (SegDepth, Fig. 7)",
        "Accuracy of pixels, and of columns by their mean probability, that share a confidence, before and after the "
        "network's logits were divided by its temperature T (SegDepth, Fig. 7). The diagonal is perfect calibration. "
        "Bins of fewer than 30 pixels or columns have no point. Below: how many have which confidence.",
        "dataset",
    ),
    FigureEntry(
        "montage",
        "montage",
        "atomic models, depth maps and images of a shard's structures",
        "Structures of one shard, of each kind of surface the thinnest and the thickest: the atoms along and across "
        "the beam, the depth map, and the image without noise, each at another defocus (after SegDepth, Fig. 3). "
        "Panels have one scale. The text gives what was drawn for the structure, and the lens values that differ from "
        "the defaults of the imaging block.",
        "montage_dataset",
    ),
    FigureEntry(
        "training",
        "training",
        "losses, centre accuracy and learning rate against the epoch",
        "Losses and centre accuracy on the validation structures while the network was trained.",
    ),
    FigureEntry(
        "benchmark",
        "benchmark",
        "columns counted exactly, by true count and by defocus, beside the ideal observer",
        "Share of the columns that are counted exactly, by true count and by defocus. Bands: 95 % bootstrap intervals "
        "over structures. Dashed: the ideal observer, who knows the image of a column, everything around it and the "
        "wedge that its count lies about; for a data set whose counts are not shifted, the image alone. It is of "
        "columns of 2 atoms to one less than the thickest class that stand 0.6 nm inside the field, while networks "
        "are measured on all. By true count it is a guide: the thinnest and the thickest columns can be counted "
        "better.",
    ),
    FigureEntry(
        "fig8_gradients",
        "paper",
        "gradients of the class probabilities with respect to the image (SegDepth, Fig. 8)",
        "(a) Size of the gradient of the probability of several depths at a column (orange) and in the vacuum (green) "
        "with respect to the image; (b) that of the true depth at the column at several λ; (c, d) the radius about the "
        "pixel that holds 90 % (solid) and half (dashed) of the energy of the true depth's gradient, at columns and in "
        "the vacuum, (c) against λ and (d) against the true count (vacuum: 0), also for the network that serves every "
        "dose (SegDepth, Fig. 8, eq. 7): means over one column of each element and count in each image, with 95 % "
        "bootstrap intervals over structures where there are at least five. Colours of maps go with the square root "
        "and end where a thousandth of the pixels is brighter (white); maps of a row of (a) have one scale, those of "
        "(b) each their own. All maps show the field of the estimated depth. λ, data set, network and number of images "
        "are in the figure.",
    ),
    FigureEntry(
        "fig11_boundary",
        "paper",
        "gradients at the boundary and in the vacuum of a micrograph (SegDepth, Fig. 11)",
        "Size of the gradient of the probability of several depths at the boundary of the crystal (orange) and in "
        "the vacuum (green) with respect to a micrograph (SegDepth, Fig. 11). Maps of one row have one scale, which "
        "ends where a thousandth of their pixels is brighter (white: there or above). All panels show the same "
        "field, turned as the file holds the micrograph, its row 0 at the top, as in Fig. 10. λ, micrograph and "
        "network are in the figure.",
    ),
    FigureEntry(
        "fig9_doses",
        "paper",
        "metrics against the dose of the test images (SegDepth, Fig. 9)",
        "Metrics against the images' λ; variant, data sets and number of images are in the figure: (a) several "
        "widths trained at one λ, (b) one width trained at several λ; dashed in black the network that was trained "
        "for every dose (SegDepth, Fig. 9). Bars: 95 % bootstrap intervals over structures.",
    ),
    FigureEntry(
        "prediction",
        "prediction",
        "a micrograph, the estimated depth, its confidence and the columns that were found (SegDepth, Fig. 10)",
        "A micrograph, the estimated depth, its confidence, and the columns that were found (SegDepth, Fig. 10), as "
        "the file holds it: row 0 is at the top. The network, the dose and whether the micrograph is simulated are in "
        "the figure.",
    ),
    FigureEntry(
        "fig12_film",
        "film",
        "depth probabilities over time at a boundary column and in the vacuum (SegDepth, Fig. 12)",
        "The network's probability of each number of atoms over time at a column of the boundary and at a site in the "
        "vacuum (SegDepth, Fig. 12), and below them how many atoms there truly are and how many the hidden Markov "
        "model counts. A number has a line where its probability reaches 0.05 or the site truly holds it at some time. "
        "A simulated film; its λ and frames, the network and the number of changing columns are in the figure. Of the "
        "columns that change (where some are empty at some time, of these) it is one of the heaviest element, with the "
        "median number of true changes (the lower one of two); the site is the vacuum's nearest to it.",
    ),
    FigureEntry(
        "film_scores",
        "film",
        "how well changes of a film's columns are found, against the dose",
        "Precision, recall and median timing error of the events of a film of known truth, against the dose of a "
        "frame: the hidden Markov model (all of its events, and those that it lists as at most one in twenty false), "
        "the most probable count of single frames, and that of averages of 3, 5 and 9 frames. An event counts as found "
        "within five frames of a true one of the same column and direction. Film, frames, network and the number of "
        "changing columns are in the figure.",
    ),
    FigureEntry(
        "limits",
        "limits",
        "how well single columns can be counted at all, and a network beside it",
        "Share of columns that the ideal observer of a single column counts exactly (solid) and within one atom "
        "(dashed), against the dose, defocus C1, the true count and the place (edge: within 0.4 nm of the vacuum), "
        "and what a network reaches. The observer knows everything but the one count and infers nothing from "
        "neighbours; a network that does can be better. Points are means over columns, without intervals. All but "
        "the first column are at one λ, which the figure tells with the data set and the number of structures of "
        "each.",
    ),
    FigureEntry(
        "limit_map",
        "limits",
        "where to record: the limit over C1, C3, dose and vibration",
        "Above: share of columns that an ideal observer who does not know the neighbours' counts counts exactly, "
        "over defocus C1 and spherical aberration C3, at the dose and vibration that the figure names; a star marks "
        "the best setting. Below: the best C1 against the vibration, a line a dose; bars reach to where 98 % of the "
        "best is still reached, not to an interval of confidence. Points at one vibration lie side by side. Other "
        "lens values are those of the data set, which the figure names with the number of columns.",
    ),
    FigureEntry(
        "generalization",
        "generalization",
        "networks under each other's conditions, and what a short training there regains",
        "(a) Share of columns that networks (rows) count exactly under each other's conditions (columns): the value, "
        "its 95 % bootstrap interval over structures, the share within one atom, and the difference to the network "
        "trained on that condition (red frames; on others of its structures). (b) The same after a short training on "
        "what is measured, which begins with the row's network, and the difference to that network without it. Each "
        "network is trained once: how far two trainings lie apart is not in the intervals. λ, the number of "
        "structures and images and the time of the trainings are in the figure; networks are named in brackets where "
        "they are called otherwise than their data sets.",
    ),
    FigureEntry(
        "comparison",
        "comparison",
        "a micrograph beside the simulation at its pixel and dose",
        "A micrograph beside the simulated structure at its pixel and dose: pictures, Fourier transforms, average unit "
        "cells, column contrast over defocus, and the spacings of the lattice's peaks.",
    ),
    FigureEntry(
        "lens_fit",
        "lens_fit",
        "average unit cells by distance from the edge, the fitted model and the difference; thickness from the edge",
        "Average unit cells of a micrograph by distance from the crystal's edge, those of the fitted model, their "
        "difference on a scale of its own, and the thickness that was fitted.",
    ),
    FigureEntry(
        "convergence",
        "convergence",
        "error and time of each choice of the simulation",
        "Error of the image (rms difference over rms contrast) and time of each choice of the simulation, against a "
        "multislice on 2048² points with slabs of 16.7 pm of the three-dimensional potential in double precision and "
        "explicit averaging over focus. Dots: one for each defocus C1; at the right, seconds of the multislice or "
        "milliseconds an image, on one core.",
    ),
)
FIGURES = {entry.name: entry for entry in ENTRIES}


def figures_from(source: str) -> tuple[str, ...]:
    """Names of the figures that are drawn from one kind of source, in the order of the list."""
    return tuple(entry.name for entry in ENTRIES if entry.source == source)
