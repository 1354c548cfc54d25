"""`convdepth verify` and `convdepth doctor`."""
