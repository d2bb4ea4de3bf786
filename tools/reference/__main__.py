"""Write the generated pages anew."""

from __future__ import annotations

from tools.reference import PAGE, props_page

PAGE.parent.mkdir(parents=True, exist_ok=True)
PAGE.write_text(props_page(), encoding="utf-8")
print(PAGE)
