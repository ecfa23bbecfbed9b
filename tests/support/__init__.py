"What tests and benchmarks share: pictures, processes, servers."
