"""Loops: array in, array out; the readable definition beside each fast one."""
