"""Tables 2 to 7 of the paper, and what each row measures, from its text.

A test is (run, its scales Q, protocol); a row is (labels, figures as printed,
its tests): several tests are fused, a row of others' results has none.
"""

SCALES = {
  "256": (224, 256, 288),
  "384": (352, 384, 416),
  "[256;512]": (256, 384, 512),
}

TABLE_2 = {"A, A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}

# Network, S, Q, top-1 and top-5 error.
TABLE_3 = """
  A      256        256   29.6  10.4
  A-LRN  256        256   29.7  10.5
  B      256        256   28.7   9.9
  C      256        256   28.1   9.4
  C      384        384   28.1   9.3
  C      [256;512]  384   27.3   8.8
  D      256        256   27.0   8.8
  D      384        384   26.8   8.7
  D      [256;512]  384   25.6   8.1
  E      256        256   27.3   9.0
  E      384        384   26.9   8.7
  E      [256;512]  384   25.5   8.0
"""

# Network, S, top-1 and top-5 error.
TABLE_4 = """
  B  256        28.2  9.6
  C  256        27.7  9.2
  C  384        27.8  9.2
  C  [256;512]  26.3  8.2
  D  256        26.6  8.6
  D  384        26.5  8.6
  D  [256;512]  24.8  7.5
  E  256        26.9  8.7
  E  384        26.7  8.6
  E  [256;512]  24.8  7.5
"""

# Network, dense top-1, top-5, multi-crop top-1, top-5, both top-1, top-5.
TABLE_5 = """
  D  24.8  7.5  24.6  7.5  24.4  7.2
  E  24.8  7.5  24.6  7.4  24.4  7.1
"""

SEVEN = [
  ("D-256", (224, 256, 288), "dense"),
  ("D-384", (352, 384, 416), "dense"),
  ("D-256-512-fc", (256, 384, 512), "dense"),
  ("C-256", (224, 256, 288), "dense"),
  ("C-384", (352, 384, 416), "dense"),
  ("E-256", (224, 256, 288), "dense"),
  ("E-384", (352, 384, 416), "dense"),
]
PROTOCOLS = {
  "dense": "dense",
  "multicrop": "multi-crop",
  "both": "multi-crop & dense",
}


def jittered(network, protocol):
  return f"{network}-256-512", (256, 384, 512), protocol


def pair(protocol):
  return [jittered("D", protocol), jittered("E", protocol)]


# top-1 and top-5 validation error, top-5 test error; -: not given.
TABLE_6 = [
  ("7 networks of the ILSVRC submission, dense", "24.7 7.5 7.3", SEVEN),
  ("D & E [256;512], dense", "24.0 7.1 7.0", pair("dense")),
  ("D & E [256;512], multi-crop", "23.9 7.2 -", pair("multicrop")),
  ("D & E [256;512], both", "23.7 6.8 6.8", pair("both")),
]
TABLE_7 = [
  ("VGG, 2 nets, multi-crop & dense", "23.7 6.8 6.8", pair("both")),
  ("VGG, 1 net, multi-crop & dense", "24.4 7.1 7.0", [jittered("E", "both")]),
  ("VGG, ILSVRC submission, 7 nets, dense", "24.7 7.5 7.3", SEVEN),
  # One cell across both splits.
  ("GoogLeNet, 1 net", "- 7.9 7.9", []),
  ("GoogLeNet, 7 nets", "- 6.7 6.7", []),
  ("MSRA, 11 nets", "- - 8.1", []),
  ("MSRA, 1 net", "27.9 9.1 9.1", []),
  ("Clarifai, several nets", "- - 11.7", []),
  ("Clarifai, 1 net", "- - 12.5", []),
  ("Zeiler & Fergus, 6 nets", "36.0 14.7 14.8", []),
  ("Zeiler & Fergus, 1 net", "37.5 16.0 16.1", []),
  ("OverFeat, 7 nets", "34.0 13.2 13.6", []),
  ("OverFeat, 1 net", "35.7 14.2 -", []),
  ("Krizhevsky et al., 5 nets", "38.1 16.4 16.4", []),
  ("Krizhevsky et al., 1 net", "40.7 18.2 -", []),
]


def _table_3():
  for network, s, q, *figures in map(str.split, TABLE_3.strip().splitlines()):
    run = f"{network}-256-512" if s.startswith("[") else f"{network}-{s}"
    yield (network, s, q), figures, [(run, (int(q),), "dense")]


def _table_4():
  for network, s, *figures in map(str.split, TABLE_4.strip().splitlines()):
    run = f"{network}-256-512" if s.startswith("[") else f"{network}-{s}"
    labels = network, s, ", ".join(map(str, SCALES[s]))
    yield labels, figures, [(run, SCALES[s], "dense")]


def _table_5():
  for network, *figures in map(str.split, TABLE_5.strip().splitlines()):
    for i, (protocol, name) in enumerate(PROTOCOLS.items()):
      pair = figures[2 * i : 2 * i + 2]
      yield (network, name), pair, [jittered(network, protocol)]


def _with_server(table):
  for label, figures, tests in table:
    yield (label,), figures.replace("-", " - ").split(), tests


CENTER = [("B-256", (256,), "center")], [("B-shallow-256", (256,), "center")]

ROWS = {
  "table3": list(_table_3()),
  "table4": list(_table_4()),
  "table5": list(_table_5()),
  "table6": list(_with_server(TABLE_6)),
  "table7": list(_with_server(TABLE_7)),
  "shallow": [
    (("B", "two 3x3 a block"), ["-", "-"], CENTER[0]),
    (("B-shallow", "one 5x5 a block"), ["-", "-"], CENTER[1]),
  ],
}


def differences():
  """(tests of the worse, of the better, difference in the paper) in order."""
  three, four, five, six = (
    {labels: (float(figures[0]), tests) for labels, figures, tests in rows}
    for rows in (ROWS[f"table{n}"] for n in (3, 4, 5, 6))
  )

  def minus(worse, better):
    return worse[1], better[1], round(worse[0] - better[0], 1)

  at_256 = {n: three[n, "256", "256"] for n in ("A", "A-LRN", *"BCDE")}
  names = ("A-LRN", "A"), "AB", "BD", "AE", "BC", "CD"
  yield from (minus(at_256[a], at_256[b]) for a, b in names)
  yield CENTER[1], CENTER[0], 7.0
  fixed = {n: three[n, "384", "384"] for n in "CDE"}
  jitter = {n: three[n, "[256;512]", "384"] for n in "CDE"}
  many = {n: four[n, "[256;512]", "256, 384, 512"] for n in "CDE"}
  yield from (minus(fixed[n], jitter[n]) for n in "CDE")
  yield from (minus(jitter[n], many[n]) for n in "CDE")
  dense, crops, both = (
    {n: five[n, name] for n in "DE"} for name in PROTOCOLS.values()
  )
  yield from (minus(dense[n], crops[n]) for n in "DE")
  for n in "DE":
    yield minus(dense[n], both[n])
    yield minus(crops[n], both[n])
  best = six[("D & E [256;512], both",)]
  yield from (minus(both[n], best) for n in "DE")
  yield minus(six[("7 networks of the ILSVRC submission, dense",)], best)


def arrays():
  """Every (run, protocol, Q) that is computed for all these, once, sorted."""
  found = set()
  for rows in ROWS.values():
    for _, _, tests in rows:
      for run, scales, protocol in tests:
        parts = ["dense", "multicrop"] if protocol == "both" else [protocol]
        found |= {(run, part, q) for part in parts for q in scales}
  return sorted(found)
