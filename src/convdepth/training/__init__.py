"""The stage `train` and all it runs; a change here makes every training stale."""
