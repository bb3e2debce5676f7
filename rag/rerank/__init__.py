"""Orders candidates again with a costlier look."""
