"""Spans and metrics of Civitas systems, through the OpenTelemetry API: begin with plugin.py."""
