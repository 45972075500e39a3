"""ripu-ray: which pixels should we pay to label?"""
