"""Child processes of a flow: how many, and how they end."""
