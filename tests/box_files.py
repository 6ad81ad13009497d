"""Files of bounding boxes."""

# The folder of ILSVRC's images in Kaggle's archive.
CLS_LOC = "ILSVRC/Data/CLS-LOC"


def write(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  if isinstance(content, str):
    content = content.encode()
  path.write_bytes(content)


def xml(objects, first):
  """VOC's XML, with a part, and a size that is not to be believed."""
  elements = "".join(
    f"<object><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    f"<name>{name}</name><bndbox><xmin>{xmin + first}</xmin>"
    f"<ymin>{ymin + first:.3f}</ymin><xmax>{xmax + first}</xmax>"
    f"<ymax>{ymax + first}</ymax></bndbox></object>"
    for name, (xmin, ymin, xmax, ymax) in objects
  )
  size = "<size><width>1000</width><height>1000</height></size>"
  return f'<?xml version="1.0"?>\n<annotation>{size}{elements}</annotation>'
