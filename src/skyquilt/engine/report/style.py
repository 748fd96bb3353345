"""
How the page of the report looks: one style sheet, fit for paper, dark or light as the reader's system asks.

An attribute data-theme of the html element (dark, light) wins over the system: the app shows the report so.
"""

from __future__ import annotations

__all__ = ["STYLE"]

_DARK = (
    "{--page:#0e1218;--card:#171d26;--ink:#e4e9f1;--soft:#9aa6b8;--line:#2b3442;"
    "--mark:#7db0ff;--out:#ff8d73;--warn:#2d2614;--warn-line:#c9922a;--head:#1e2631}"
)

_LIGHT = (
    "{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b2230;--soft:#5a6475;--line:#dde1e8;--mark:#2760c4;"
    "--out:#b3361f;--warn:#fff4dc;--warn-line:#d99a1c;--head:#eef1f5}"
)

_PARTS = """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main,header,footer{max-width:76rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2rem}
h1{font-size:2rem;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:1.3rem;margin:2.6rem 0 .8rem;padding-top:.2rem}
h3{font-size:1rem;margin:0}
p{max-width:48rem;margin:.5rem 0}
.soft,figcaption,caption,dd,footer{color:var(--soft)}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;padding:0;margin:.8rem 0 1.2rem}
a{color:var(--mark)}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--card);padding:.4rem .8rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,15rem),1fr));gap:.8rem;
margin:1.2rem 0;padding:0}
.card,.plots figure,.picture{background:var(--card);border:1px solid var(--line);border-radius:.6rem}
.card{padding:.8rem 1rem}
.card dt{font-size:.85rem;color:var(--soft)}
.card dd{margin:0}
.card .value{font-size:1.45rem;font-weight:600;color:var(--ink);line-height:1.3;font-variant-numeric:tabular-nums}
.card .more{font-size:.85rem}
.picture{margin:1.2rem 0;padding:.6rem;text-align:center}
.picture img{max-width:100%;max-height:44rem;height:auto;border-radius:.3rem;background:#000}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:.8rem}
.plots figure{margin:0;padding:.7rem .8rem .4rem}
.plots figcaption{font-size:.85rem}
svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
.grid{stroke:var(--line);fill:none}.axis{stroke:var(--soft);fill:none}
.dots,.crosses{fill:none;stroke-linecap:round}
.dots{stroke:var(--mark)}.dots.few{stroke-width:4.5}.dots.many{stroke-width:2.2}
.crosses{stroke:var(--out);stroke-width:1.8}.crosses.many{stroke-width:1.2}
.named circle{fill:transparent}.named circle:hover{fill:var(--mark);fill-opacity:.35}
.key{display:flex;gap:1.4rem;flex-wrap:wrap;font-size:.9rem;color:var(--soft);margin:.2rem 0 .8rem}
.key svg{display:inline;width:1rem;height:1rem;vertical-align:-.15rem;margin-right:.35rem}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.6rem;margin:.8rem 0}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.86rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.6rem .8rem;font-size:.9rem}
th,td{text-align:left;padding:.35rem .7rem;border-top:1px solid var(--line);vertical-align:top}
thead th{background:var(--head);white-space:nowrap;font-weight:600}
thead small{display:block;font-weight:400;color:var(--soft)}
.n{text-align:right;white-space:nowrap}
.f{font-weight:400;white-space:nowrap}
.x{color:var(--out)}
.frames tbody th{font-weight:400;white-space:nowrap}
.frames td{text-align:right;white-space:nowrap}
.frames td:nth-child(2){text-align:left;white-space:normal}.frames .x{min-width:15rem}
ol.story{padding-left:1.3rem}ol.story li{margin:.35rem 0;max-width:52rem}
.warnings{background:var(--warn);border-left:4px solid var(--warn-line);border-radius:.4rem;
padding:.6rem 1rem .6rem 1.2rem}
.warnings h2{margin:.2rem 0 .4rem}
.map{width:100%;max-width:46rem;height:auto}.map .frame{fill:none;stroke:currentColor;stroke-opacity:.4}
.map .outlines{fill:var(--mark);fill-opacity:.06;stroke:var(--mark);stroke-opacity:.55;stroke-width:.7}
.map text{fill:currentColor;font-size:13px;text-anchor:middle}
details{margin:.8rem 0}summary{cursor:pointer;color:var(--mark);padding:.2rem 0}
code{font-size:.92em;overflow-wrap:anywhere}
footer{padding:2rem 1.25rem 3rem;font-size:.85rem}
@media (max-width:34rem){.cards{grid-template-columns:1fr 1fr}.card .value{font-size:1.2rem}}
@media print{body{background:#fff}.scroll{overflow:visible}nav,.skip{display:none}}
"""

STYLE = (
    f":root{_LIGHT}\n@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){_DARK}}}\n"
    f":root[data-theme=dark]{_DARK}\n{_PARTS.strip()}"
)
