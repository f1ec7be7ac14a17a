"""Who is measured: one module per gateway, listed in `registry`."""
