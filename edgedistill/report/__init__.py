"""The report: html, markdown and the plots."""
