"""Programs of the libraries that `bench.peers_training` and `bench.quantize_peers` compare with ours, and what these
two benches measure with."""
