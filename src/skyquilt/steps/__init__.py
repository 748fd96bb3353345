"""The algorithms, one room each; rooms do not import each other."""
