"""Write the generated pages anew."""

from __future__ import annotations

from tools.reference.pages import PAGES

for page, text in PAGES.items():
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text(), encoding="utf-8")
    print(page)
