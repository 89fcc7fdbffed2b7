"""What Anabranch gains over a model alone and over River's ensembles, on streams that drift: benchmarks/ACCURACY.md."""
