"""`/control/...`: the security gateway in front of model providers."""
