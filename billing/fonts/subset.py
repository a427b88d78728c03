"""Makes NotoSansSC-Regular.otf, the font of PDFs, from the file of Debian's package fonts-noto-cjk.

    pip install fonttools==4.* && python3 subset.py /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc

It holds the characters of GB 2312 (both levels), those beyond it that are frequent in names, and Latin.
"""

import subprocess
import sys
import tempfile

NAMES = (
    "㛃喆喩囍垚堃奡婳媖嫄宬峣崟嶒彧慜旻昇昉晞曈朸栐梽棪楀沄洢浛浥淏湉澔濛烜焜燊燚犇玙玥珅珺琎琤瑀瑄璘璟瓅畇皛祎禛禩竑"
    "翀芃莯衎袆諴赟鋆錡镕镠霂韡頔飏骉"
)
RANGES = "U+0020-007E,U+00A0-024F,U+2000-206F,U+20A0-20BF,U+2190-2193,U+2200-22FF,U+3000-303F,U+FF00-FFEF"
SIMPLIFIED_CHINESE = 2


def gb2312():
    for high in range(0xA1, 0xFE):
        for low in range(0xA1, 0xFF):
            try:
                yield bytes([high, low]).decode("gb2312")
            except UnicodeDecodeError:
                pass


with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as characters:
    characters.write("".join(sorted(set(gb2312()) | set(NAMES))))
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
