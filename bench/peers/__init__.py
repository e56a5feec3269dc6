"""Programs that `bench.peers_training` starts, one a library: each takes a job description and distils one student."""
