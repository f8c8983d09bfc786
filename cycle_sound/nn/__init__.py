"""Parts that models share: blocks, devices, processes, checkpoints, random numbers, the order of rows, fidelity."""
