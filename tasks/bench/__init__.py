"""How fast the text tasks are beside what one would write otherwise: `make bench`."""
