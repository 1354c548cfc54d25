"""The stage `report`: one self-contained HTML page."""
