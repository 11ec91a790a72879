"""Where a rating comes from: the portal client, its contracts and the vault."""
