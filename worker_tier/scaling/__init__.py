"""When the fleet grows and shrinks."""
