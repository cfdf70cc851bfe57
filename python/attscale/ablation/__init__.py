"""The papers' claims on data that anyone has: which nets are trained for them, and what came of it."""
