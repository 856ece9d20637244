"""Figures of results: matplotlib, for print and screen, told apart without colour as well.

matplotlib is imported by the functions that draw, so that other commands never wait for it.
"""
