"""What the runtime `browser` consists of: the page, the server of the page, and the Chromium that shows it."""
