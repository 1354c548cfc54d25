"""The networks' colors in all figures and charts."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
"""One per network, in order: the palette of Okabe and Ito, which the color-blind can tell apart
(https://jfly.uni-koeln.de/color/), with a dark ochre in place of yellow, which fades on white."""
