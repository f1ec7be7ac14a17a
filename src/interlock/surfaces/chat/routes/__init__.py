"""Routes of the conversations API, one module per resource."""
