"""The stage `plot`: one module per picture."""
