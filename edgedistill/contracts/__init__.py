"""What every kind of plug-in must offer, one file each."""
