"""From a damaged recording to a restored one: windows, the engine that restores them, files from end to end."""
