"""The Python interface, which `ripu_ray` exports."""
