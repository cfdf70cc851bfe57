"""What was measured, beside the papers' numbers: evaluations, comparison, report."""
