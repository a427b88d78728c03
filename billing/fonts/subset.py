"""Makes NotoSansSC-Regular.otf, the font of PDFs, from the file of Debian's package fonts-noto-cjk.

    pip install fonttools==4.* && python3 subset.py /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc

It holds all Chinese characters of Unicode's first block, simplified and traditional, those beyond it that stand in names,
the other characters of GBK (as Greek, Cyrillic and kana), and Latin.
"""

import subprocess
import sys
import tempfile

# Beyond that block: what stands in names and is taken there.
NAMES = "㑇㑊㕮㘎㙍㙘㙦㛃㛚㛹㟃㠇㠓㤘㥄㧐㧑㧟㫰㬊㬎㬚㭎㭕㮾㰀㳇㳘㳚㴔㵐㶲㸆㸌㺄㻬㽏㿠䁖䂮䃅䃎䅟䌹䎃䎖䏝䏡䏲䐃䓖䓛䓨䓫䓬䗖䗛䗪䗴䜣䝙䢺䢼䣘䥽䦃䲟䲠䲢䴓䴔䴕䴖䴗䴘䴙䶮"
RANGES = "U+0020-007E,U+00A0-024F,U+2000-206F,U+20A0-20BF,U+2190-2193,U+2200-22FF,U+3000-30FF,U+4E00-9FFF,U+FF00-FFEF"
SIMPLIFIED_CHINESE = 2


def gbk():
    for high in range(0x81, 0xFF):
        for low in range(0x40, 0xFF):
            try:
                yield bytes([high, low]).decode("gbk")
            except UnicodeDecodeError:
                pass


with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as characters:
    characters.write("".join(sorted(set(gbk()) | set(NAMES))))
    characters.flush()
    subprocess.run(
        [
            "pyftsubset",
            sys.argv[1],
            f"--font-number={SIMPLIFIED_CHINESE}",
            f"--text-file={characters.name}",
            f"--unicodes={RANGES}",
            "--layout-features=",
            "--no-hinting",
            "--drop-tables+=vhea,vmtx,VORG,BASE,GPOS,GSUB,DSIG",
            "--name-IDs=0,1,2,3,4,5,6,13,14",
            "--notdef-outline",
            "--output-file=NotoSansSC-Regular.otf",
        ],
        check=True,
    )
