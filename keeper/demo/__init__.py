"""The main job, seen: a crash played over guarded positions and their unguarded twins."""
