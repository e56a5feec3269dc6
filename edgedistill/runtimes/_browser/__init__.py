"""Parts of the runtime `browser`: the page, its server, and the Chromium that shows it."""
