"""Every tuner of the PEFT library as a kind of adapter; peft is imported when one is first made or loaded."""
