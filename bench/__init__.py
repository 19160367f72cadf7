"""Figures of this machine, as ratios within one run; nothing here is asserted by a test."""
