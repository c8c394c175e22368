"""What an exported folder carries so that stock diffusers runs it: each file stands alone, without oft."""
