"""The sections of a report on the paper's appendices."""

from collections.abc import Sequence

from experiments.report_html import Markup, element, join, picture, section
from experiments.report_tables import findings_part, table_section

# Shown where they are there, and not missed where not.
LOCALIZATION = ("table8", "table9", "table10", "localization_findings")
TRANSFER = ("table11", "table12", "transfer_findings")
FEATURE_MAP = "features.png"


def localization_section(results: dict[str, dict]) -> Markup | None:
  """Tables 8 to 10 and their findings, as far as they are there."""
  parts = appendix_parts(results, LOCALIZATION, "localization error")
  return section("localization", "Localization", *parts) if parts else None


def transfer_section(
  results: dict[str, dict], feature_map: bytes | None
) -> Markup | None:
  """Tables 11 and 12, their findings and a map, as far as they are there."""
  parts = appendix_parts(results, TRANSFER, "recall or mAP")
  if not parts:
    return None
  if feature_map:
    text = "Test images, near each other where their descriptors are alike"
    parts.append(picture(feature_map, text))
    parts.append(element("p", f"{text} (t-SNE).", class_="small"))
  title = "Features of networks of another data set"
  return section("transfer", title, *parts)


def appendix_parts(
  results: dict[str, dict], names: Sequence[str], measure: str
) -> list[Markup]:
  """The tables and findings of such names that are there."""
  return [
    join(
      element("h3", results[name]["title"]),
      findings_part(results[name], measure),
    )
    if name.endswith("findings")
    else table_section(results[name], ())
    for name in names
    if name in results
  ]
