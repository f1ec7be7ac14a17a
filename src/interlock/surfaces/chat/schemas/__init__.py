"""Bodies of the conversations API: what comes in, checked; what goes out, described."""
