"""Where chunk caches are kept: on the device, in memory and on disk, each within a budget of bytes."""
