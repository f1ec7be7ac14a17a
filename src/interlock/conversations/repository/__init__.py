"""All queries of conversations, one class per aggregate, each on its caller's connection."""
