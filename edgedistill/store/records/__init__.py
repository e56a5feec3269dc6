"""What steps say of what they published: typed, versioned, read only as the type that wrote it."""
