"""What all phases share: settings, files, and the contract of an output folder. It depends on no music code."""
