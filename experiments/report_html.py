"""HTML whose text is always escaped.

`element` escapes every child that is not already `Markup`, so that no name of
a class or a file can become part of the page's structure.
"""

import base64
import html
from pathlib import Path

STYLE = Path(__file__).with_name("report.css")
VOID = {"img", "meta"}
# A line break after these keeps the page's source readable, and is no space
# between words.
BLOCKS = {"body", "div", "figure", "head", "li", "main", "nav", "p", "section"}
BLOCKS |= {"table", "thead", "tbody", "tr", "h1", "h2", "h3", "ul", "details"}


class Markup(str):
  """Text that is HTML already."""


def element(name: str, /, *children: object, **attributes: object) -> Markup:
  """An element.

  Args:
    name: of the tag.
    children: Markup as it is; everything else as escaped text; None: left out.
    attributes: their names with _ for -, a last _ is dropped; None: left out.
  """
  opening = name
  for key, value in attributes.items():
    if value is not None:
      key = key.rstrip("_").replace("_", "-")
      opening += f' {key}="{html.escape(str(value))}"'
  end = "\n" if name in BLOCKS else ""
  if name in VOID:
    return Markup(f"<{opening}>")
  return Markup(f"<{opening}>{join(*children)}</{name}>{end}")


def join(*children: object) -> Markup:
  """The children one after the other; see `element`."""
  return Markup(
    "".join(
      child if isinstance(child, Markup) else html.escape(str(child))
      for child in children
      if child is not None
    )
  )


def section(anchor: str, title: str, *children: object) -> Markup:
  """A section of the page with its heading."""
  heading = element("h2", title, id=f"{anchor}-title")
  return element(
    "section",
    heading,
    *children,
    id=anchor,
    aria_labelledby=f"{anchor}-title",
  )


def scrolling(label: str, *children: object) -> Markup:
  """A box that scrolls sideways by itself, with the keyboard too."""
  return element(
    "div",
    *children,
    class_="scroll",
    role="region",
    tabindex=0,
    aria_label=label,
  )


def picture(png: bytes, alt: str, **attributes: object) -> Markup:
  """An inline PNG."""
  data = base64.b64encode(png).decode()
  return element(
    "img", src=f"data:image/png;base64,{data}", alt=alt, **attributes
  )


def link(anchor: str, text: object) -> Markup:
  """A link to another place of the page."""
  return element("a", text, href=f"#{anchor}")


def note(text: str) -> Markup:
  """What is not there, and why."""
  return element("p", text, class_="missing")


def document(title: str, *children: object) -> Markup:
  """The whole page; it loads nothing."""
  head = element(
    "head",
    element("meta", charset="utf-8"),
    element(
      "meta",
      name="viewport",
      content="width=device-width, initial-scale=1",
    ),
    element("title", title),
    element("style", Markup(STYLE.read_text())),
  )
  body = element("body", element("main", *children))
  page = element("html", head, body, lang="en")
  return Markup(f"<!doctype html>\n{page}\n")
