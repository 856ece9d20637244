"""Images of the user's own, of which nobody has a clean copy: reading, denoising, writing back.

A file becomes an array with named axes (`stack`), its planes go one by one through the route that every image takes
(`denoisebench.evaluation.evaluate`), and the result is written as what the file was: same type, scale, axes, metadata.
"""
