"""Resources of ranks: limits, hardware facts and measured speed."""
