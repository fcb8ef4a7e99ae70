"""One file per kind of position: how it is observed, judged, sized and acted on, behind one port."""
