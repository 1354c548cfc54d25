"""The questions of ``studies/PLAN.md``: their trainings, and the answers."""
