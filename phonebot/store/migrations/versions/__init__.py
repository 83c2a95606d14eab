"""Named after what they do; `revision` holds their order."""
