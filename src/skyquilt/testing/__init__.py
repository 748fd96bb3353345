"""Shipped with the package: the synthetic sky with known truth, the laws."""
