"""Settings of the site, which `make docs` builds with Sphinx (docs/adr/0025).

Every warning is an error there: a link to a page, a heading or a file that does not exist, and a
page that no table of contents names.
"""

from __future__ import annotations

project = "worker-tier"
author = "the authors of worker-tier"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
# Headings to this depth can be linked to as `page.md#heading`, and such links are checked.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "attrs_inline"]
nitpicky = True
html_theme = "furo"
html_title = "worker-tier"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["llms.txt"]
html_show_sourcelink = False
html_show_copyright = False
# Code blocks with a prompt or with placeholders are no valid programs.
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]
