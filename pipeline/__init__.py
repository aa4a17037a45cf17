"""What all phases share and none owns: settings, files, and the contract of an output folder. Knows no music."""
