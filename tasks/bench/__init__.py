"""Compare the speed of the text tasks with what one would write otherwise: `make bench`."""
