"""Pages of docs/reference that are generated from the code: `python -m tools.reference`."""

from tools.reference.props import PAGE, props_page

__all__ = ["PAGE", "props_page"]
