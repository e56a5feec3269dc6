"""Programs that `bench.peers_training` starts, one per library: each takes a job description and distils one
student."""
