"""`anabranch demo`: a simulated stream that drifts, real processes on the embedded broker, a live view, a summary."""
