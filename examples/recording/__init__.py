"""A program that was recorded in production, and its replay."""
