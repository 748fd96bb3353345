"""Detail"""
