"""The candidate algorithms: each with scikit-surprise's interface, behind one catalogue."""
