"""The conversations API: `/api/...` as the published clients know it. Decides nothing itself."""
