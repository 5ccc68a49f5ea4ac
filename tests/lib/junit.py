# SPDX-License-Identifier: Apache-2.0
"""Prints name and exit status (0, 1, 77), tab between, of each case of a junit file that ctest wrote."""

import sys
import xml.etree.ElementTree

STATUS = {"run": 0, "fail": 1, "disabled": 77, "notrun": 77}

for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
    skipped = case.find("skipped") is not None
    status = STATUS.get(case.get("status"), 1)
    # ctest says "notrun" for a program that could not be started as well: that is no skip.
    if status == 77 and (not skipped or "Unable to find" in (case.find("skipped").get("message") or "")):
        status = 1
    print(case.get("name"), status, sep="\t")
