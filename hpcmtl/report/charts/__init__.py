"""Drawings of the report as inline SVG, readable without JavaScript; colours come from the style of the page."""
