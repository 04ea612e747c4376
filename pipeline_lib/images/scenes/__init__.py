"""Generated scenes: coloured digits on textured backgrounds, with the true class, box and mask of every object."""
