"""What can be asked for: operations from JSON to JSON, without a transport."""
