"""Write the generated pages anew."""

from __future__ import annotations

from tools.reference.beanstalk_options import BEANSTALK_PAGE, beanstalk_options_page
from tools.reference.props import PAGE, props_page

for page, text in ((PAGE, props_page()), (BEANSTALK_PAGE, beanstalk_options_page())):
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    print(page)
