"""The documentation site: pages made from the code, and the Markdown pages, for Sphinx."""
