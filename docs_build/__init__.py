"""What makes the documentation site: parts from the code, and a look at the result."""
