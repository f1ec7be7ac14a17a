"""The tools that come with the product, one file each; `tools.registry` lists them."""
