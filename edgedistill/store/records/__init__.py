"""Records of published artifacts: typed, versioned, and only read as the type that wrote them."""
