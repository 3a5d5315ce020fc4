"""What benchmarks/gateway.py starts, drives and measures."""
