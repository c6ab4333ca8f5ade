"""What sounds: one file for each kind of voice."""
