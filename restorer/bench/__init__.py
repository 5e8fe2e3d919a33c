"""What `restorer bench` measures."""
