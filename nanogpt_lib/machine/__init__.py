"""What the library needs from the machine: devices, memory, files and folders."""
